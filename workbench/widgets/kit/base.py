"""The class that every widget of the workbench derives from."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from workbench.widgets.kit.requests import Answers, Method

STATIC = Path(__file__).parents[1] / "static"


def bundle_text(file: str) -> str:
    """Return the text of a bundled file.

    The text, not the path, is handed to anywidget: for a path it watches the file and so keeps every instance alive.
    """
    return (STATIC / file).read_text(encoding="utf-8")


class StateLock:
    """A lock that its holder may take again, and that knows whether the present thread holds it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holders: list[int] = []

    @property
    def is_mine(self) -> bool:
        return threading.get_ident() in self._holders

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holders.append(threading.get_ident())

    def __exit__(self, *exception: object) -> None:
        self._holders.pop()
        self._lock.release()


class Widget(anywidget.AnyWidget):
    """A widget whose JavaScript is ``static/{bundle}.js`` and whose requests are answered by :meth:`methods`.

    Subclasses name their bundle: ``class TokenStrip(Widget, bundle="token-strip")``.

    Attributes:
        state_lock: held while JavaScript's changes are applied. Messages may arrive on a thread of their own (a
            subshell of the kernel), and until traitlets has applied one it holds back the notifications of every
            trait: of a trait that another thread sets at that moment, the notification can be lost. So other
            threads set traits with :meth:`publish`.
    """

    bundle: ClassVar[str]
    # A constructor that raises leaves a widget half made, which is closed when Python forgets it.
    _answers: Answers | None = None

    def __init_subclass__(cls, *, bundle: str | None = None, **kwargs: Any) -> None:
        if bundle is not None:
            cls.bundle = bundle
            cls._esm = bundle_text(f"{bundle}.js")
            cls._css = bundle_text(f"{bundle}.css")
        super().__init_subclass__(**kwargs)

    def __init__(self, **traits: Any) -> None:
        self.state_lock = StateLock()
        super().__init__(**traits)
        answers = self._answers = Answers(self.methods(), self._send_reply, name=type(self).__name__)
        self.on_msg(lambda widget, message, buffers: answers.receive(message))

    def add_traits(self, **traits: Any) -> None:
        """Add traits, of which anywidget's id also names the version of the styles.

        The page keeps one style sheet an id. A notebook that was stored by an older version brings its own, and under
        the same name the last one to arrive would dress the widgets of both.
        """
        if "_anywidget_id" in traits:
            version = hashlib.sha256(str(getattr(self, "_css", "")).encode()).hexdigest()[:12]
            name = f"{type(self).__module__}.{type(self).__name__}"
            traits["_anywidget_id"] = traitlets.Unicode(f"{name}.{version}").tag(sync=True)
        super().add_traits(**traits)

    def methods(self) -> Mapping[str, Method]:
        """Return what JavaScript may ask: method name → function of the request's params."""
        return {}

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what JavaScript set."""
        with self.state_lock:
            super().set_state(sync_data)

    def publish(self, **traits: Any) -> None:
        """Set traits, one after the other, from any thread; what an observer raises comes after the last one."""
        raised: list[Exception] = []
        with self.state_lock:
            for name, value in traits.items():
                try:
                    setattr(self, name, value)
                except Exception as error:  # noqa: BLE001
                    raised.append(error)
        if raised:
            raise raised[0]

    def close(self) -> None:
        """Close the widget and end its threads."""
        if self._answers is not None:
            self._answers.close()
        super().close()

    def _send_reply(self, content: dict[str, Any], buffers: Any) -> None:
        self.send(content, buffers=list(buffers))
