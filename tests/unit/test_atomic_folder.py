from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import ResourceError
from workbench.files import atomic_folder


def test_a_folder_appears_whole_and_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "clt") as folder:
            (folder / "weights").write_text(text)
        assert (tmp_path / "clt" / "weights").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["clt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no"), OSError(28, "No space left on device")])
def test_what_fails_halfway_leaves_the_old_folder(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "clt").mkdir()
    (tmp_path / "clt" / "weights").write_text("old")
    with pytest.raises((type(error), ResourceError)), atomic_folder(tmp_path / "clt") as folder:
        (folder / "weights").write_text("half")
        raise error
    assert (tmp_path / "clt" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["clt"]
