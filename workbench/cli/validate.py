"""`workbench validate`: what graphs predict against what the model does, over several prompts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli.evaluate import ModelOption, PromptsOption, SeedOption, chosen_prompts
from workbench.cli.output import console, print_json

if TYPE_CHECKING:
    import pandas as pd


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    clt: Annotated[str, typer.Argument(help="A CLT by name, or the folder of one.")],
    model: ModelOption,
    prompts: PromptsOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Use that many of the prompts, evenly spaced.")] = 10,
    k: Annotated[int, typer.Option("--k", min=2, help="Ablate that many features of each graph.")] = 50,
    seed: SeedOption = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ablate the top features of several prompts' graphs, beside matched controls, and compare with the predictions.

    About half a minute a prompt on one core. Ctrl-C ends it with the prompts that are done.
    """
    from tqdm.auto import tqdm

    import workbench as wb
    from workbench.evaluation.graph_scores import check_prompts
    from workbench.evaluation.validation import Validation

    texts = chosen_prompts(prompts, limit)
    bench = wb.open(model, clt=clt)
    check_prompts(bench.loaded, texts)
    done: list[Validation] = []
    try:
        for text in tqdm(texts, desc="validating", unit="prompt"):
            graph = bench.attribute(text, progress=False)
            done.append(bench.validate(graph, k=k, n_supernodes=0, seed=seed, progress=False))
    except KeyboardInterrupt:
        if not done:
            raise
    pooled = Validation.pooled(done, seed=seed)
    if json:
        # pandas writes null where a figure is undefined, which Python's NaN is not in JSON.
        figures = pooled.astype(object).where(pooled.notna(), None).to_dict("records")
        names = [one.prompt for one in done]
        print_json({"clt": clt, "model": model, "k": k, "prompts": names, "figures": figures})
    else:
        _show(pooled, clt, model, len(done), k)


def _show(pooled: pd.DataFrame, clt: str, model: str, n_prompts: int, k: int) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("figure", no_wrap=True)
    for heading in ("value", "95 %", "control", "95 %", "paper"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in pooled.to_dict("records"):
        own, control = (
            (_number(row[name]), f"{_number(row[prefix + 'low'])} … {_number(row[prefix + 'high'])}")
            for name, prefix in (("value", ""), ("control", "control_"))
        )
        table.add_row(row["figure"], *own, *control, _number(row["paper"]))
    out = console()
    out.print(f"{clt} on {model}: {n_prompts} prompts, {k} features of each ablated one by one\n", soft_wrap=True)
    out.print(table)
    out.print(
        "\ncontrol: the effects of matched features in place of the features' own; docs/interventions.md says more",
        soft_wrap=True,
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}".replace("-", "−")
