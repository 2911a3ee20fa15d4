"""A JupyterLab server of this environment with folders of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workbench.models.cache import cache_folder

START_SECONDS = 180  # importing JupyterLab from a cold disk on a busy machine takes its time
STOP_SECONDS = 30
# Without these JupyterLab shows a question about news and asks a server for updates.
_QUIET = {"fetchNews": "false", "checkForUpdates": False}


class LabServer:
    """A running server: its address, its token, and the folder that its notebooks are in."""

    def __init__(self, url: str, token: str, folder: Path) -> None:
        self.url, self.token, self.folder = url, token, folder
        # Proxies that the environment names are for other hosts.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method: str, path: str) -> Any:
        """Send a request to the server's REST interface and return the JSON of its answer (None without a body)."""
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers)
        with self._opener.open(request, timeout=60) as reply:
            body = reply.read()
        return json.loads(body) if body else None

    def stop_kernels(self) -> None:
        """Shut down every session with its kernel, so that models of one test do not fill the memory of the next."""
        for session in self.request("GET", "api/sessions"):
            self.request("DELETE", f"api/sessions/{session['id']}")
        for kernel in self.request("GET", "api/kernels"):
            self.request("DELETE", f"api/kernels/{kernel['id']}")


def _environment(private: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    private_folders = {
        "HOME": "home",
        "XDG_CACHE_HOME": "cache",
        "XDG_CONFIG_HOME": "xdg-config",
        "XDG_DATA_HOME": "xdg-data",
        "IPYTHONDIR": "ipython",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    for name, folder in private_folders.items():
        (private / folder).mkdir(parents=True, exist_ok=True)
        kept[name] = str(private / folder)
    return {
        **kept,
        # The models stay where the user has them: in a private home they would have to be fetched again.
        "WORKBENCH_CACHE": str(cache_folder()),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
        # A kernel of the user's that is named python3 too is another environment.
        "JUPYTER_PREFER_ENV_PATH": "1",
    }


@contextmanager
def lab_server(private: Path, *, start: Sequence[str] = ()) -> Iterator[LabServer]:
    """Start JupyterLab with everything that it writes below ``private``; stop it and its kernels at the end.

    Args:
        start: another command that starts it, in place of JupyterLab on an empty folder.

    Raises:
        RuntimeError: the server ended, or did not answer in `START_SECONDS`; with the end of its log.
    """
    folder = private / "notebooks"
    folder.mkdir(parents=True)
    environment = _environment(private)
    settings = private / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(_QUIET), encoding="utf-8")
    token = secrets.token_hex(16)
    command = [
        *(start or (sys.executable, "-m", "jupyterlab", f"--notebook-dir={folder}")),
        *("--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--IdentityProvider.token={token}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
    ]
    log = private / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield _ready(process, private / "runtime" / f"jpserver-{process.pid}.json", token, folder, log)
    finally:
        _stop(process)


def _ready(process: subprocess.Popen[bytes], info: Path, token: str, folder: Path, log: Path) -> LabServer:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            process.wait(timeout=0.1)
        except subprocess.TimeoutExpired:
            if info.is_file() and (text := info.read_text(encoding="utf-8")).endswith("}"):
                server = LabServer(f"http://127.0.0.1:{json.loads(text)['port']}/", token, folder)
                try:
                    server.request("GET", "api/status")
                except urllib.error.URLError:
                    continue  # the file is there a moment before the port is open
                return server
        else:
            break
    ended = "did not start" if process.poll() is None else f"ended with status {process.returncode}"
    tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"JupyterLab {ended}:\n{tail}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for end in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(end)
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                continue
