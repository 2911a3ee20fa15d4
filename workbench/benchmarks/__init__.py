"""Measurements of speed and memory: one module a part of the workbench, run by ``workbench bench``."""
