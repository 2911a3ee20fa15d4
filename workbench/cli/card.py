"""`workbench card` and `workbench find`: what a feature is; which features fire on a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import console, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from workbench.features.atlas import Atlas, Card
    from workbench.session import Session

ModelOption = Annotated[str, typer.Option("--model", help="A named model, a hub name or a folder.")]
CLTOption = Annotated[str | None, typer.Option("--clt", help="A CLT's name or folder [default: the model's own].")]
AtlasOption = Annotated[Path | None, typer.Option("--atlas", help="Folder or file of an atlas [default: the CLT's].")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_SHOWN_ROWS = 30
_SHOWN_EXAMPLES = 8


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("card")(card)
    app.command("find")(find)


def card(
    layer: Annotated[int, typer.Argument(help="The feature's layer, from 0.")],
    feature: Annotated[int, typer.Argument(help="Its index in the layer, from 0.")],
    model: ModelOption,
    clt: CLTOption = None,
    atlas: AtlasOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a feature is: label, examples, logits, density."""
    import workbench
    from workbench.errors import AtlasError

    bench = workbench.open(model, clt=clt)
    found = _atlas(bench, atlas)
    if found is None:
        name = clt or model
        raise AtlasError(
            f"There is no atlas of the CLT {name!r} yet: build it with `workbench atlas {name} --model {model}`."
        )
    shown = found.card(layer, feature)
    if json:
        print_json(shown.to_json())
    else:
        _show(shown)


def find(
    text: Annotated[str, typer.Argument(help="Features that fire on this text are listed, the strongest first.")],
    model: ModelOption,
    clt: CLTOption = None,
    atlas: AtlasOption = None,
    chat: Annotated[bool, typer.Option("--chat", help="Put the text through the model's chat template.")] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="How many rows [default: all with --json, else 30].")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the features that fire on a text, with their labels where there is an atlas."""
    import workbench
    from workbench.features.atlas.search import firing

    bench = workbench.open(model, clt=clt)
    found = _atlas(bench, atlas)
    if found is None:
        name = clt or model
        sys.stderr.write(f"No labels: `workbench atlas {name} --model {model}` builds the atlas that has them.\n")
        table = firing(bench.loaded, bench.clt, text, chat=chat)
        table["label"] = ""
    else:
        table = found.find_text(text, chat=chat)
    if not json:
        limit = limit or _SHOWN_ROWS
    rows = (table if limit is None else table.head(limit)).to_dict("records")
    if json:
        keys = ("layer", "feature", "position", "token", "activation", "label")
        print_json(
            {"text": text, "n_firing": len(table), "features": [{key: row[key] for key in keys} for row in rows]}
        )
        return
    _show_rows(rows, len(table))


def _atlas(bench: Session, given: Path | None) -> Atlas | None:
    from workbench.features.atlas import Atlas

    if given is not None:
        return Atlas.open(given, model=bench.loaded, clt=bench.clt)
    return bench.find_atlas()


def _show_rows(rows: list[dict[Any, Any]], n_firing: int) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("layer", "feature", "position", "token", "activation"):
        table.add_column(heading, justify="left" if heading == "token" else "right", no_wrap=True)
    table.add_column("label")
    for row in rows:
        cells = (row["layer"], row["feature"], row["position"], repr(row["token"]), f"{row['activation']:.3g}")
        table.add_row(*map(str, cells), row["label"])
    out = console()
    out.print(table)
    if n_firing > len(rows):
        out.print(f"and {n_firing - len(rows):,} more")


def _show(card: Card) -> None:
    from rich.table import Table

    out = console()
    score = f"score {card.label_score:.2f}" if card.label_score is not None else f"no score: {card.label_reason}"
    out.print(f"{card.layer}/{card.feature}  {card.label}")
    out.print(f"{card.kind}, {card.family}; label by {card.label_source}, {score}")
    if card.kind == "silent":
        out.print(f"It never fired on {card.n_tokens:,} tokens: there is nothing else to show.")
        return
    median = f", median {card.quantiles['0.5']:.3g}" if card.quantiles else ""
    out.print(
        f"fires on {card.density:.2%} of {card.n_tokens:,} tokens; activation up to {card.max_activation:.3g}{median}\n"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, rows in (("raises", card.top_logits), ("lowers", card.bottom_logits), ("fires on", card.top_tokens)):
        table.add_row(name, "  ".join(repr(row["token"]) for row in rows))
    for name, rows in (("upstream", card.upstream), ("downstream", card.downstream)):
        if rows:
            table.add_row(name, "; ".join(f"{row['layer']}/{row['feature']} {row['label']}" for row in rows[:5]))
    out.print(table)
    out.print()
    examples = Table(box=None, pad_edge=False, show_header=False)
    examples.add_column(no_wrap=True)
    examples.add_column(justify="right", no_wrap=True)
    examples.add_column()
    for example in card.examples[:_SHOWN_EXAMPLES]:
        examples.add_row(example["group"], f"{example['activation']:.3g}", _coloured(example))
    out.print(examples)


def _coloured(example: dict[str, Any]) -> Text:
    from rich.text import Text

    text = Text()
    for place, (token, value) in enumerate(zip(example["tokens"], example["activations"], strict=True)):
        style = "reverse" if place == example["peak"] else "bold" if value > 0 else "dim"
        text.append(token.replace("\n", "⏎"), style=style)
    return text
