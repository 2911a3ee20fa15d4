"""The widgets: one Python class each, its JavaScript bundled under ``static`` from the TypeScript in ``widgets/``."""
