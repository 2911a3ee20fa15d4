"""One way in for every format, with the checks that a transcoder fits its model."""

from __future__ import annotations

from pathlib import Path

from workbench.clt.config import CLTConfig
from workbench.clt.formats import circuit_tracer, own
from workbench.clt.store import resolve_clt
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError
from workbench.models.loaded import LoadedModel


def save_clt(clt: CLT, folder: Path | str, *, int8: bool = False) -> None:
    """Write a transcoder in the project's own format, with ``int8`` in about a quarter of the bytes.

    Raises:
        ResourceError: the disk is full; no file is left half-written.
    """
    own.save(clt, folder, int8=int8)


def load_clt(path: Path | str, *, model: LoadedModel | None = None) -> CLT:
    """Return a transcoder from its name (as ``find_clts`` lists them) or its folder; the format is recognised.

    Args:
        model: when given, the transcoder must have been trained on it.

    Raises:
        CLTError: there is no such transcoder, its format is unknown, or it belongs to another model.
        FormatError: a file is missing, truncated, holds non-finite numbers or a tensor of the wrong shape.
    """
    folder = resolve_clt(path)
    if (folder / own.CONFIG).exists():
        if model is not None:
            # The config alone tells a wrong model, before hundreds of megabytes are read.
            check_fits(own.read_config(folder), model, folder)
        return own.load(folder)
    if (folder / circuit_tracer.CONFIG).exists():
        clt = circuit_tracer.load(folder)
        if model is not None:
            check_fits(clt.config, model, folder)
        return clt
    raise CLTError(
        f"{folder} is no transcoder: it holds neither {own.CONFIG} nor {circuit_tracer.CONFIG}; "
        "give the folder of a CLT."
    )


def check_fits(config: CLTConfig, model: LoadedModel, folder: Path | str) -> None:
    """Check that a transcoder fits a model: layers, width, hooks, and the fingerprint where it is known.

    Raises:
        CLTError: it does not.
    """
    shape, wanted = (config.n_layers, config.d_model), (model.n_layers, model.d_model)
    if shape != wanted:
        raise CLTError(
            f"The transcoder {folder} is of {config.model!r} ({shape[0]} layers × {shape[1]}), "
            f"but {model.name!r} has {wanted[0]} layers × {wanted[1]}: choose the CLT of this model."
        )
    if config.fingerprint and config.fingerprint != model.fingerprint:
        raise CLTError(
            f"The transcoder {folder} was trained on another model ({config.model!r}, "
            f"fingerprint {config.fingerprint[:12]}) than {model.name!r} "
            f"(fingerprint {model.fingerprint[:12]}): choose the CLT of this model."
        )
    known = model.bridge.hook_dict
    for hook in (config.read_hook, config.write_hook):
        if hook.format(layer=0) not in known:
            raise CLTError(f"The transcoder {folder} uses the hook {hook!r}, which {model.name!r} does not have.")
