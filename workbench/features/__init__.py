"""Features: what each one does and when it fires."""

from workbench.features.logit_effects import promoted_tokens

__all__ = ["promoted_tokens"]
