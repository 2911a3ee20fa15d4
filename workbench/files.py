"""Writing files whole or not at all, and reading weights that may be damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import FormatError, ResourceError

if TYPE_CHECKING:
    from torch import Tensor

_PACKAGE = Path(__file__).resolve().parent
# A wheel carries the data inside the package; in a working copy it lies beside it.
DATA = _PACKAGE / "data" if (_PACKAGE / "data").is_dir() else _PACKAGE.parent / "data"


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; rename it to ``path`` when the block succeeds.

    Raises:
        ResourceError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # mkstemp makes files that only their owner may read; what users get follows their umask.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except Exception as error:
        if isinstance(error, OSError) or "No space left" in str(error):
            raise ResourceError(_explain(path, error)) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; when the block succeeds it takes the place of ``path``.

    Raises:
        ResourceError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as scratch:
            fresh, old = Path(scratch) / "fresh", Path(scratch) / "old"
            fresh.mkdir()
            yield fresh
            if path.exists():
                os.replace(path, old)
            os.replace(fresh, path)
    except Exception as error:
        if isinstance(error, OSError) or "No space left" in str(error):
            raise ResourceError(_explain(path, error)) from error
        raise


def _explain(path: Path, error: Exception) -> str:
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
    if full:
        return f"The disk is full: {path} was not written; free some space or choose another folder."
    return f"Cannot write {path}: {error}; choose a folder that you may write to."


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        FormatError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"Cannot read {path} as JSON: {error}; give a complete file.") from error


def write_safetensors(path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file whole or not at all."""
    from safetensors.torch import save_file

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(contiguous, temporary, metadata=metadata)


def is_finite(tensor: Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity."""
    import torch

    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    # The extremes carry every NaN and infinity; finding them takes no mask as large as the tensor.
    return all(bool(torch.isfinite(extreme)) for extreme in tensor.aminmax())


def read_safetensors(path: Path | str) -> dict[str, Tensor]:
    """Read a safetensors file and check that every float is finite.

    Raises:
        FormatError: the file is missing, truncated, or holds a NaN or an infinity.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise FormatError(
            f"Cannot read {path} as safetensors: {error}; the file is missing or truncated, get it again."
        ) from error
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise FormatError(f"The tensor {name!r} in {path} holds a NaN or an infinity: get the file again.")
    return tensors


def require_disk(folder: Path | str, n_bytes: int, what: str) -> None:
    """Check that a folder's disk has room before a long job starts.

    Raises:
        ResourceError: less than ``n_bytes`` are free.
    """
    folder = Path(folder)
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < n_bytes:
        raise ResourceError(
            f"{what} needs {n_bytes / 1e9:.2f} GB in {folder}, but {free / 1e9:.2f} GB are free: "
            "free some space or choose another folder."
        )
