"""What a page asks for, what it complains about, and the guard that lets no request leave the machine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, Route, WebSocket

LOCAL_HOSTS = {"127.0.0.1", "localhost"}
_FOREIGN = re.compile(r"^(?:https?|wss?|ftp)://(?!(?:127\.0\.0\.1|localhost)(?:[:/]|$))")


def is_foreign(url: str) -> bool:
    """Return whether fetching ``url`` would leave the machine; data:, blob: and file: do not."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https", "ws", "wss", "ftp"} and parts.hostname not in LOCAL_HOSTS


class Traffic:
    """Every request and complaint of one browser context; requests to other hosts are recorded and blocked."""

    def __init__(self, context: BrowserContext) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []
        context.route(_FOREIGN, _abort)
        context.on("request", self._on_request)
        context.on("console", self._on_console)
        context.on("page", self._on_page)

    @property
    def foreign(self) -> list[str]:
        """The requests that would have left the machine."""
        return [url for url in self.requests if is_foreign(url)]

    def check(self) -> None:
        """Fail if a request to another host was made since the last call of `take_foreign`.

        Raises:
            AssertionError: naming the requests.
        """
        foreign = self.take_foreign()
        assert not foreign, f"the page asked other hosts for {len(foreign)} things: {', '.join(foreign[:10])}"

    def take_foreign(self) -> list[str]:
        """Return the requests to other hosts and forget them: for a test that causes some on purpose."""
        foreign = self.foreign
        self.requests = [url for url in self.requests if not is_foreign(url)]
        return foreign

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_web_socket(self, socket: WebSocket) -> None:
        self.requests.append(socket.url)

    def _on_page(self, page: Page) -> None:
        page.on("websocket", self._on_web_socket)
        page.on("pageerror", self._on_page_error)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _on_page_error(self, error: Error) -> None:
        self.errors.append(f"uncaught: {error.stack or error.message}")


def _abort(route: Route) -> None:
    route.abort("blockedbyclient")
