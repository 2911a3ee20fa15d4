"""Tests that drive a real JupyterLab in a browser."""
