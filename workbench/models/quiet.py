"""Keeping the chatter of dependencies away from users."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet(*, standard_error: bool = False) -> Iterator[None]:
    """Hold back the log lines, warnings and progress bars of transformers and TransformerLens.

    Args:
        standard_error: hold back all that is written to standard error, for bars that cannot be switched off.
    """
    from huggingface_hub.utils import logging as untyped_hub_logging
    from transformers.utils import logging as untyped_logging

    hub_logging: Any = untyped_hub_logging
    transformers_logging: Any = untyped_logging

    verbosity = transformers_logging.get_verbosity()
    hub_verbosity = hub_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    previous = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        transformers_logging.set_verbosity_error()
        hub_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        logging.disable(max(previous, logging.WARNING))
        if standard_error:
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        try:
            yield
        finally:
            logging.disable(previous)
            transformers_logging.set_verbosity(verbosity)
            hub_logging.set_verbosity(hub_verbosity)
            if bars:
                transformers_logging.enable_progress_bar()
