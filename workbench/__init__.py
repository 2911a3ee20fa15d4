"""circuit-workbench: from one prompt to an explanation of how a small language model computed its next token."""
