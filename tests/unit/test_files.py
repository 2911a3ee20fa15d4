"""Files are written whole or not at all, and damaged ones are told from good ones."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

from workbench.errors import FormatError, ResourceError
from workbench.files import (
    DATA,
    atomic_file,
    read_json,
    read_safetensors,
    require_disk,
    write_json,
    write_safetensors,
)


def test_the_data_folder_holds_the_evaluation_prompts() -> None:
    assert (DATA / "prompts" / "evaluation.jsonl").is_file()


def test_an_atomic_file_appears_under_its_name_only_when_the_block_is_done(tmp_path: Path) -> None:
    path = tmp_path / "new" / "notes.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["notes.txt"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with pytest.raises(interruption), atomic_file(path) as temporary:
        temporary.write_text("half of the n")
        raise interruption
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    with pytest.raises(ResourceError, match=r"^The disk is full: .*graph\.json was not written"):
        with atomic_file(path) as temporary:
            temporary.write_text("{")
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_recognised_in_what_safetensors_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        # The words with which safetensors 0.8 failed on a full tmpfs: no OSError, no errno.
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(ResourceError, match=r"^The disk is full: .*weights\.safetensors was not written"):
        write_safetensors(tmp_path / "weights.safetensors", {"W": torch.zeros(4)})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder")
    with pytest.raises(ResourceError, match=r"^Cannot write .*file/graph\.json: .*; choose a folder"):
        write_json(tmp_path / "file" / "graph.json", {})


def test_written_files_are_readable_to_whom_the_umask_allows(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        write_json(tmp_path / "graph.json", {})
    finally:
        os.umask(previous)
    assert (tmp_path / "graph.json").stat().st_mode & 0o777 == 0o644


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values)
def test_json_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


@pytest.mark.parametrize("content", [b"", b'{"nodes": [', b"\xff\xfe\x00"])
def test_a_truncated_json_file_is_a_format_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "graph.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"^Cannot read .*graph\.json as JSON"):
        read_json(path)


def test_tensors_come_back_as_they_were_written_views_too(tmp_path: Path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"transposed": whole.T, "ids": torch.tensor([1, 2])}, metadata={"format": "own"})
    tensors = read_safetensors(path)
    assert torch.equal(tensors["transposed"], whole.T)
    assert torch.equal(tensors["ids"], torch.tensor([1, 2]))


@pytest.mark.parametrize("keep", [0, 4, 60, -1], ids=["empty", "header cut", "data cut", "last byte missing"])
def test_truncated_safetensors_are_a_format_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"W": torch.zeros(64)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FormatError, match=r"^Cannot read .*weights\.safetensors as safetensors"):
        read_safetensors(path)


def test_missing_safetensors_are_a_format_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="missing or truncated"):
        read_safetensors(tmp_path / "absent.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_non_finite_number_is_told_with_its_tensor(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(3, 3, dtype=dtype)
    tensor[1, 2] = bad
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {"W_enc": torch.ones(2), "W_dec": tensor})
    with pytest.raises(FormatError, match=r"^The tensor 'W_dec' in .* holds a NaN or an infinity"):
        read_safetensors(path)


def test_room_on_the_disk_is_checked_for_folders_that_do_not_exist_yet(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "models"
    require_disk(folder, 1, "The model")
    with pytest.raises(ResourceError, match=r"^The model needs 1000000000\.00 GB in .*models, but .* GB are free"):
        require_disk(folder, 10**18, "The model")
    assert not folder.exists()
