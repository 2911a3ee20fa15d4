"""One way in for every format, with the checks that a transcoder fits its model."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from workbench.clt.config import CLTConfig
from workbench.clt.formats import circuit_tracer, own, saelens
from workbench.clt.formats.recognise import FORMATS, FormatName, recognise
from workbench.clt.store import resolve_clt
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, ConfigError
from workbench.models.loaded import LoadedModel


def save_clt(clt: CLT, folder: Path | str, *, int8: bool = False, format: FormatName = "workbench") -> None:
    """Write a transcoder's folder.

    Args:
        int8: store the weights in about a quarter of the bytes; only the own format can.
        format: ``"workbench"``, the own one, or that of another project: ``"circuit-tracer"`` (its cross-layer format,
            or for window 1 its per-layer one), ``"saelens"`` (window 1) or ``"gemma-scope"`` (cross-layer).

    Raises:
        CLTError: the format cannot hold this transcoder.
        ConfigError: there is no such format, it has no int8, or the folder holds a transcoder in another one.
        ResourceError: the disk is full; no file is left half-written.
    """
    if format not in FORMATS:
        raise ConfigError(f"There is no format {format!r} for transcoders: choose one of {', '.join(FORMATS)}.")
    if format == "workbench":
        own.save(clt, folder, int8=int8)
        return
    if int8:
        raise ConfigError(f"The format {format!r} has no int8: leave int8 out or choose the format 'workbench'.")
    there = recognise(Path(folder))
    if there not in (None, format):
        # Of two transcoders in one folder, the reader would have to guess which is meant.
        raise ConfigError(f"{folder} holds a transcoder in the format {there!r} already: choose another folder.")
    FORMATS[format].save(clt, folder)


def load_clt(path: Path | str, *, model: LoadedModel | None = None) -> CLT:
    """Return a transcoder from its name (as ``find_clts`` lists them) or its folder, in float32.

    The format is recognised by what the folder holds: the workbench's own, circuit-tracer's cross-layer or per-layer
    one, SAELens 6 (a folder with one transcoder for every layer), Gemma Scope 2. Other projects' weights are read
    layer by layer, so that none is held twice.

    Args:
        model: when given, the transcoder must have been trained on it.

    Raises:
        CLTError: there is no such transcoder, its format is unknown, it cannot be represented, or it belongs to
            another model.
        FormatError: a file is missing, truncated, holds non-finite numbers or a tensor of the wrong shape.
        ResourceError: memory will not hold the weights.
    """
    folder = resolve_clt(path)
    name = recognise(folder)
    if name is None:
        raise CLTError(
            f"{folder} is no transcoder: it holds neither {own.CONFIG} nor {circuit_tracer.CONFIG} nor "
            f"{saelens.CONFIG}; give the folder of a CLT."
        )
    reader = FORMATS[name]
    if model is not None:
        # The config alone tells a wrong model, before hundreds of megabytes are read.
        check_fits(reader.read_config(folder), model, folder)
    return cast(CLT, reader.load(folder))


def check_fits(config: CLTConfig, model: LoadedModel, folder: Path | str) -> None:
    """Check that a transcoder fits a model: layers, width, hooks, and the fingerprint where it is known.

    Raises:
        CLTError: it does not.
    """
    check_runs_on(config, model, folder)
    if config.fingerprint and config.fingerprint != model.fingerprint:
        raise CLTError(
            f"The transcoder {folder} was trained on another model ({config.model!r}, "
            f"fingerprint {config.fingerprint[:12]}) than {model.name!r} "
            f"(fingerprint {model.fingerprint[:12]}): choose the CLT of this model."
        )


def check_runs_on(config: CLTConfig, model: LoadedModel, folder: Path | str) -> None:
    """Check that a model has the layers, the width and the hooks that a transcoder needs, whatever it was trained on.

    Raises:
        CLTError: it has not.
    """
    shape, wanted = (config.n_layers, config.d_model), (model.n_layers, model.d_model)
    if shape != wanted:
        raise CLTError(
            f"The transcoder {folder} is of {config.model!r} ({shape[0]} layers × {shape[1]}), "
            f"but {model.name!r} has {wanted[0]} layers × {wanted[1]}: choose the CLT of this model."
        )
    known = model.bridge.hook_dict
    for field, does in (("read_hook", "reads"), ("write_hook", "writes")):
        hook: str = getattr(config, field)
        names = [hook.replace("{layer}", str(layer)) for layer in range(config.n_layers)]
        missing = next((name for name in names if name not in known), None)
        if missing is not None:
            raise CLTError(
                f"The transcoder {folder} {does} at the hook {hook!r}, but {model.name!r} has no {missing!r}: "
                f"choose the CLT of this model, or correct {field} in the CLT's config."
            )
        if config.n_layers > 1 and "{layer}" not in hook:
            raise CLTError(
                f"The transcoder {folder} {does} at the hook {hook!r} in every layer: "
                f"write {{layer}} for the layer's number in {field} of the CLT's config."
            )
