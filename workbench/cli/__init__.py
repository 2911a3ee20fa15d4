"""The `workbench` command: what scripts and other people's pipelines call."""
