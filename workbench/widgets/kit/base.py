"""The class that every widget of the workbench derives from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anywidget

from workbench.widgets.kit.requests import Answers, Method

STATIC = Path(__file__).parents[1] / "static"


def bundle_text(file: str) -> str:
    """Return the text of a bundled file.

    The text, not the path, is handed to anywidget: for a path it watches the file and so keeps every instance alive.
    """
    return (STATIC / file).read_text(encoding="utf-8")


class Widget(anywidget.AnyWidget):
    """A widget whose JavaScript is ``static/{bundle}.js`` and whose requests are answered by :meth:`methods`.

    Subclasses name their bundle: ``class TokenStrip(Widget, bundle="token-strip")``.
    """

    bundle: ClassVar[str]

    def __init_subclass__(cls, *, bundle: str | None = None, **kwargs: Any) -> None:
        if bundle is not None:
            cls.bundle = bundle
            cls._esm = bundle_text(f"{bundle}.js")
            cls._css = bundle_text(f"{bundle}.css")
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._answers = Answers(self.methods(), self._send_reply, name=type(self).__name__)
        self.on_msg(lambda widget, message, buffers: self._answers.receive(message))

    def methods(self) -> Mapping[str, Method]:
        """Return what JavaScript may ask: method name → function of the request's params."""
        return {}

    def close(self) -> None:
        """Close the widget and end its threads."""
        self._answers.close()
        super().close()

    def _send_reply(self, content: dict[str, Any], buffers: Any) -> None:
        self.send(content, buffers=list(buffers))
