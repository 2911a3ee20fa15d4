"""Loading a model by name, from a folder, or out of the hub's cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import ModelError
from workbench.files import read_json
from workbench.memory import require_memory
from workbench.models.cache import RECORD, model_folder, read_record
from workbench.models.fetching import fetch
from workbench.models.loaded import LoadedModel, from_huggingface
from workbench.models.quiet import quiet
from workbench.models.registry import DEFAULT_MODEL, is_named, named_model, suggestion
from workbench.models.weights import (
    check_and_fingerprint,
    count_parameters,
    read_weights,
    remember_fingerprint,
    remembered_fingerprint,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The interpreter with torch, transformers and TransformerLens, before any weight.
_BASE_MEMORY = 600_000_000


@dataclass(frozen=True)
class _Source:
    folder: Path
    start_token: str | None
    fingerprint: str | None


def load_model(
    name_or_path: str | Path = DEFAULT_MODEL,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    fetch_missing: bool = False,
    start_token: str | None = None,
) -> LoadedModel:
    """Return a model with its tokenizer, wrapped in a TransformerLens bridge, ready for hooks (eager attention).

    Args:
        name_or_path: a named model, a local folder in Hugging Face format, or a hub name whose files are cached.
        dtype: the dtype of the parameters; the fingerprint is that of the float32 weights whatever it is.
        fetch_missing: fetch the model first if it is not there; otherwise nothing uses the network.
        start_token: the token at position 0; by default the named model's, else the tokenizer's BOS, else its EOS.

    Raises:
        ModelError: the model is unknown, not fetched, or not one that TransformerLens supports.
        FormatError: its files are damaged: truncated, incomplete, or holding a NaN or an infinity.
        ResourceError: memory does not suffice (said before loading), or nothing is cached and there is no network.
    """
    name = str(name_or_path)
    source = locate(name, fetch_missing=fetch_missing)
    n_parameters = count_parameters(source.folder, name)
    fingerprint = source.fingerprint or remembered_fingerprint(source.folder)
    first_dtype = dtype if fingerprint else torch.float32
    itemsize = max(dtype.itemsize, first_dtype.itemsize)
    require_memory(
        _BASE_MEMORY + n_parameters * itemsize,
        f"Loading {name} ({n_parameters / 1e6:,.0f} M parameters)",
        "close other programs or choose a smaller model",
    )
    hf_model = read_weights(source.folder, name, first_dtype)
    if fingerprint is None:
        fingerprint = check_and_fingerprint(hf_model, source.folder)
        remember_fingerprint(source.folder, fingerprint)
    tokenizer = _read_tokenizer(source.folder, name)
    # transformers' decorator hides the signature of `to` from the type checker.
    torch.nn.Module.to(hf_model, device=torch.device(device), dtype=dtype)
    return from_huggingface(
        hf_model,
        tokenizer,
        name=name,
        start_token_id=_start_token_id(tokenizer, start_token or source.start_token, name),
        fingerprint=fingerprint,
    )


def locate(name: str, *, fetch_missing: bool = False) -> _Source:
    """Return where a model's files are.

    Raises:
        ModelError: they are not here.
    """
    if is_named(name):
        folder = model_folder(name)
        if fetch_missing:
            fetch(name)
        elif not folder.is_dir():
            raise ModelError(f"The weights of {name!r} are not here yet: run `workbench fetch {name}`.")
        record = read_record(folder)
        return _Source(folder, named_model(name).start_token, record.fingerprint)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if (folder / RECORD).is_file():
            record = read_record(folder)
            return _Source(folder, record.start_token, record.fingerprint)
        return _Source(folder, None, None)
    return _Source(_hub_folder(name, fetch_missing=fetch_missing), None, None)


def _hub_folder(name: str, *, fetch_missing: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if fetch_missing:
        return fetch(name)
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise ModelError(
            f"There is no model {name!r} here: no named model, no folder, nothing in the hub's cache; "
            f"{suggestion(name)}, or fetch it from the hub with `workbench fetch {name}`."
        ) from error


def _read_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    import transformers

    # transformers annotates neither of the two.
    auto: Any = transformers.AutoTokenizer
    fast: Any = transformers.PreTrainedTokenizerFast
    tokenizer: PreTrainedTokenizerBase
    try:
        with quiet():
            if (folder / RECORD).is_file():
                # What a fetch wrote needs no guessing: AutoTokenizer parses Gemma's 14 MB four times, for 2 s more.
                tokenizer = fast(tokenizer_file=str(folder / "tokenizer.json"), **_tokenizer_settings(folder))
            else:
                tokenizer = auto.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"Cannot load the tokenizer of {name!r} from {folder}: {reason}.") from error
    if tokenizer.pad_token is None:
        # TransformerLens pads whatever it tokenizes, a single prompt too.
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _tokenizer_settings(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "tokenizer_config.json")
    settings = {key: value for key, value in config.items() if key.endswith("_token") or key == "model_max_length"}
    template = folder / "chat_template.jinja"
    return {**settings, "chat_template": template.read_text(encoding="utf-8")} if template.is_file() else settings


def _start_token_id(tokenizer: PreTrainedTokenizerBase, start_token: str | None, name: str) -> int:
    token = start_token or tokenizer.bos_token or tokenizer.eos_token
    if token is None:
        raise ModelError(f"The tokenizer of {name!r} has no BOS and no EOS token: name a start token (start_token=…).")
    token_id = tokenizer.convert_tokens_to_ids(str(token))
    # An unknown token comes back as the id of the unknown-token, or as None.
    if not isinstance(token_id, int) or tokenizer.convert_ids_to_tokens(token_id) != str(token):
        raise ModelError(f"The start token {token!r} is no token of {name!r}: name one of its vocabulary.")
    return token_id
