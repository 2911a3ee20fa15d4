"""The exceptions that users see. Each message is one sentence: what was wrong, where, and what to do."""

from __future__ import annotations


class WorkbenchError(Exception):
    """Base class of every error that this package raises on purpose."""


class ModelError(WorkbenchError):
    """A model is unknown, not fetched, not supported, or its files are damaged."""


class PromptError(WorkbenchError):
    """A prompt or a target token cannot be used: empty, too long, or unknown to the tokenizer."""


class CLTError(WorkbenchError):
    """A transcoder is unknown, damaged, or was trained on another model."""


class AtlasError(WorkbenchError):
    """An atlas is not there, is damaged, or is of another model or CLT."""


class InterventionError(WorkbenchError):
    """An edit cannot be applied to a prompt, or contradicts another."""


class ConfigError(WorkbenchError):
    """A configuration value is missing, misspelt or contradicts another."""


class FormatError(WorkbenchError):
    """A file is truncated, holds non-finite numbers, or is not of the format that it claims."""


class ResourceError(WorkbenchError):
    """Memory, disk or network do not suffice for what was asked."""
