"""A real JupyterLab in a real browser: for the benchmark of the explorer, and for the tests of every widget."""
