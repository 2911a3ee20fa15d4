"""The atlases of a session: found where they lie, built in the background where there is none."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from workbench.clt import CLT
from workbench.errors import AtlasError
from workbench.features.atlas.atlas import Atlas
from workbench.features.atlas.build import build_atlas
from workbench.features.atlas.given_labels import FILE as LABELS
from workbench.features.atlas.given_labels import GivenLabels
from workbench.features.atlas.identity import clt_hash
from workbench.features.atlas.places import atlas_folder, compact_atlas
from workbench.features.atlas.plan import AtlasPlan
from workbench.features.atlas.store import FILE
from workbench.models import LoadedModel

# Set to 0 it keeps a session from building by itself.
VARIABLE = "WORKBENCH_ATLAS_BUILD"
# A small atlas is made while somebody waits for a card: two or three minutes on two cores.
SMALL = "small"
SMALL_TOKENS, SMALL_PLAN = 20_000, AtlasPlan(sample_tokens=4_096, held_out_tokens=4_096)
_log = logging.getLogger(__name__)


class AtlasBuild:
    """An atlas that is being built on a thread of its own, beside the session.

    It holds the model's lock for one batch at a time (512 tokens), so that a prompt or a slider waits no longer. What a
    stopped build has finished is kept: the next one goes on behind it.

    Attributes:
        stage: ``"text"``, then ``"features"``, then ``"done"``, ``"stopped"`` or ``"failed"``.
        done: share of the stage that is done.
        error: what made it fail.
        atlas: the result.
    """

    def __init__(self, build: Callable[..., Atlas | None]) -> None:
        self.stage, self.done = "text", 0.0
        self.error: Exception | None = None
        self.atlas: Atlas | None = None
        self._build = build
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="atlas build", daemon=True)
        self._thread.start()
        # An interpreter that ends in the middle of a matrix product of another thread may crash.
        atexit.register(self.stop, wait=30)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def seconds_left(self) -> float | None:
        """How long the text will take from now; None before that can be told."""
        if self.stage != "text" or self.done <= 0:
            return None
        return (time.monotonic() - self._started) * (1 - self.done) / self.done

    def stop(self, *, wait: float = 0) -> None:
        """End after the batch at work.

        Args:
            wait: seconds to wait for that.
        """
        self._stop.set()
        if wait:
            self._thread.join(wait)

    def wait(self, timeout: float | None = None) -> Atlas | None:
        """Wait for the end and return the atlas; None when it was stopped or the time (seconds) is over.

        Raises:
            WorkbenchError: the build failed.
        """
        self._thread.join(timeout)
        if self.error is not None:
            raise self.error
        return self.atlas

    def __repr__(self) -> str:
        left = self.seconds_left
        rest = "" if left is None else f", about {max(1, round(left / 60))} min left"
        share = f" {self.done:.0%}" if self.stage in ("text", "features") else ""
        return f"AtlasBuild({self.stage}{share}{rest})"

    def _run(self) -> None:
        try:
            self.atlas = self._build(stop=self._stop.is_set, observe=self._observe)
            self.stage = "stopped" if self.atlas is None else "done"
        except Exception as error:  # noqa: BLE001 - kept for whoever waits or asks for the atlas
            self.error, self.stage = error, "failed"
            _log.warning("The atlas was not built: %s", error)
        finally:
            atexit.unregister(self.stop)

    def _observe(self, stage: str, done: float) -> None:
        self.stage, self.done = stage, done
        # Locks are not fair: without a pause this thread would take the model's again before another one wakes up.
        time.sleep(0.005)


class Shelf:
    """Where a session gets the atlas of its CLT.

    Args:
        clt_name: name or folder that the CLT was loaded by; a compact atlas lies there.
    """

    def __init__(self, model: LoadedModel, clt: CLT, clt_name: str) -> None:
        self.model, self.clt, self.clt_name = model, clt, clt_name
        identity = clt_hash(clt)
        self.folder = atlas_folder(identity)
        # Of the CLT, whichever of its atlases there are.
        self.labels = GivenLabels.of(self.folder / LABELS, identity)
        self.build: AtlasBuild | None = None
        self._atlas: Atlas | None = None

    def find(self) -> Atlas | None:
        """Return the full atlas, else the compact one, else a small one, else None.

        Raises:
            AtlasError: what lies there is damaged or of another model, CLT or version.
        """
        if self._atlas is None or self._atlas.file.path != self.folder / FILE:
            here = (self.folder / FILE, compact_atlas(self.clt_name), self.folder / SMALL / FILE)
            path = next((path for path in here if path is not None and path.is_file()), None)
            if path is not None and (self._atlas is None or self._atlas.file.path != path):
                self._atlas = Atlas.open(path, model=self.model, clt=self.clt)
        return self._atlas

    def find_usable(self) -> Atlas | None:
        """Return what ``find`` does; None, with a line in the log, where it would raise."""
        try:
            return self.find()
        except AtlasError as error:
            _log.warning("%s", error)
            return None

    def open(self) -> Atlas:
        """Return the atlas; where there is no full one, begin to build it in the background, once a session.

        Raises:
            AtlasError: there is not even a compact one yet; the message says how far the build is.
        """
        found = self.find()
        if found is not None and found.complete:
            return found
        if self.build is None and os.environ.get(VARIABLE) != "0":
            self.start()
            _log.warning(
                "The full atlas of %s is being built in the background (bench.atlas_build shows how far it is, "
                "bench.atlas_build.stop() ends it).",
                self.clt_name,
            )
        if found is not None:
            return found
        raise self.missing()

    def missing(self) -> AtlasError:
        """Return what to say where there is no atlas: how to get one, or how far it is."""
        if self.build is None:
            return AtlasError(
                f"There is no atlas of the CLT {self.clt_name!r}: build it with bench.build_atlas() or "
                f"`workbench atlas {self.clt_name} --model {self.model.name}`."
            )
        if self.build.error is not None:
            return AtlasError(f"The atlas of {self.clt_name!r} could not be built: {self.build.error}")
        if not self.build.running:
            return AtlasError(
                f"The build of the atlas of {self.clt_name!r} was stopped: bench.build_atlas() goes on with it."
            )
        return AtlasError(
            f"The atlas of {self.clt_name!r} is being built in the background ({self.build!r}): ask again later, or "
            "wait with bench.atlas_build.wait()."
        )

    def start(self, *, small: bool = False, **options: Any) -> AtlasBuild:
        """Begin a build in the background, or return the one at work.

        Args:
            small: of few tokens, to serve until there is another one.
            options: of :func:`workbench.features.atlas.build_atlas`.
        """
        if self.build is None or not self.build.running:
            sizes = {"tokens": SMALL_TOKENS, "plan": SMALL_PLAN, "progress": False} if small else {}
            folder = self.folder / SMALL if small else self.folder

            def build(**callbacks: Any) -> Atlas | None:
                return build_atlas(
                    self.model, self.clt, **{"clt_name": self.clt_name, "out": folder, **sizes, **options, **callbacks}
                )

            self.build = AtlasBuild(build)
        return self.build
