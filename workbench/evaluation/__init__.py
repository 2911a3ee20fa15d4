"""Evaluation: how good a CLT is as a replacement of the MLPs, beside what it must beat."""
