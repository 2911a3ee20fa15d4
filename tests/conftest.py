"""The real models, fetched into the user's cache if they are not there yet."""

from __future__ import annotations

from pathlib import Path

import pytest
import strict_ci
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from workbench.models import LoadedModel, fetch, load_model


def pytest_configure(config: pytest.Config) -> None:
    strict_ci.pytest_configure(config)


# Minutes each: they begin first, and each may run on another worker.
LONG = Path(__file__).parent / "notebooks" / "test_execute.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent / "integration"
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
    items.sort(key=lambda item: item.path != LONG)


class FilesButLongTests(LoadFileScheduling):
    """One worker runs all tests of a file, which share what is dear to make (a model, a browser), but for long ones."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return str(nodeid) if self.config.rootpath / file == LONG else str(file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesButLongTests:
    return FilesButLongTests(config, log)


@pytest.fixture(scope="session")
def smollm2() -> LoadedModel:
    fetch("smollm2-135m-instruct")
    return load_model("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def gemma3() -> LoadedModel:
    with pytest.MonkeyPatch.context() as patch:
        # Nobody can answer a question in a test run; whoever runs it has the terms in README.
        patch.setenv("WORKBENCH_ACCEPT_LICENCE", "1")
        fetch("gemma-3-270m")
    return load_model("gemma-3-270m")
