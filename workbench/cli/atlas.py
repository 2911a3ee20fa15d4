"""`workbench atlas`: build the atlas of a CLT."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.output import console, print_json

EXIT_STOPPED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("atlas")(atlas)


def atlas(
    clt: Annotated[str, typer.Argument(help="A CLT by name, or the folder of one.")],
    model: Annotated[str, typer.Option("--model", help="The model that it was trained on.")],
    corpus: Annotated[str, typer.Option("--corpus", help="bundled, hf:NAME, or text files.")] = "bundled",
    tokens: Annotated[int | None, typer.Option("--tokens", help="How many to read [default: 1,000,000].")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the atlas [default: in the cache].")] = None,
    compact: Annotated[
        Path | None, typer.Option("--compact", help="Write a short form of at most 5 MB to this file, too.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Count with that many processes.")] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", help="Count on this Dask scheduler's workers.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build it even if it is there already.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build the atlas of a CLT: what every feature fires on and says. A build that was stopped goes on where it was."""
    from workbench.clt import load_clt
    from workbench.features.atlas import build_atlas
    from workbench.models import load_model

    started = time.perf_counter()
    loaded = load_model(model)
    transcoder = load_clt(clt, model=loaded)
    built = build_atlas(
        loaded,
        transcoder,
        corpus=corpus,
        tokens=tokens,
        out=out,
        clt_name=clt,
        workers=workers,
        scheduler=scheduler,
        rebuild=rebuild,
    )
    if built is None:
        sys.stderr.write("Stopped; the same command goes on where the last finished shard ended.\n")
        raise typer.Exit(EXIT_STOPPED)
    table, about = built.table(), built.info
    result: dict[str, Any] = {
        "atlas": str(built.file.path),
        "model": about["model"],
        "clt": about["clt"],
        "corpus": about["corpus"],
        "tokens": about["n_tokens"],
        "features": len(table),
        "kinds": {str(kind): int(n) for kind, n in table["kind"].value_counts().items()},
        "median_label_score": _number(table["label_score"].median()),
        "bytes": built.file.path.stat().st_size,
        "compact": None if compact is None else str(built.write_compact(compact)),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if json:
        print_json(result)
        return
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in result["kinds"].items())
    out_ = console()
    out_.print(f"{result['features']:,} features over {result['tokens']:,} tokens of {result['corpus']}: {kinds}")
    if result["median_label_score"] is not None:
        out_.print(
            f"labels by rule predict activation with a median balanced accuracy of {result['median_label_score']:.2f}"
        )
    for path in (result["atlas"], result["compact"]):
        if path is not None:
            out_.print(f"{path} ({Path(path).stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


def _number(value: float) -> float | None:
    return None if value != value else round(float(value), 4)
