"""`workbench trace`: from a prompt to its attribution graph, as files and a summary."""

from __future__ import annotations

import re
import time
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import print_json
from workbench.errors import ConfigError

if TYPE_CHECKING:
    from workbench.attribution import Graph, Target

DEFAULT_MODEL = "smollm2-135m-instruct"
_FEATURE = re.compile(r"f/(\d+)/(\d+)/(-?\d+)")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    prompt: Annotated[str, typer.Argument(help="The text whose next token is to be explained.")],
    model: Annotated[str, typer.Option(help="A named model, a hub name or a folder.")] = DEFAULT_MODEL,
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt through the model's chat template.")] = False,
    clt: Annotated[str | None, typer.Option(help="A CLT's name or folder [default: the model's own].")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="A token, or a feature as f/layer/feature/position (repeatable) [default: likely tokens]."),
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(help="A token to set against the targets: explain the difference (repeatable).")
    ] = None,
    contrast: Annotated[
        str | None, typer.Option(help="Another prompt: what is active on the first one alone, and why not there.")
    ] = None,
    heads: Annotated[
        int, typer.Option(min=0, help="How many of the strongest edges to split by the heads that carry them.")
    ] = 0,
    node_threshold: Annotated[float, typer.Option(min=0, max=1, help="Share of the nodes' influence to keep.")] = 0.8,
    edge_threshold: Annotated[float, typer.Option(min=0, max=1, help="Share of the edges' influence to keep.")] = 0.98,
    cap: Annotated[int | None, typer.Option(min=1, help="Largest number of features [default: 4096].")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the graph's four files.")] = Path("out/trace"),
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch a named model first if it is not here.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Trace one prompt: its graph as graph.json, nodes.csv, edges.csv and graph.html, and a summary on the terminal."""
    start = time.perf_counter()
    import workbench
    from workbench.attribution.engine import DEFAULT_CAP
    from workbench.attribution.tables import write_csv, write_graph
    from workbench.cli.trace_summary import contrast_inputs, print_summary, strongest_edges_by_head
    from workbench.memory import peak_memory_mb
    from workbench.models import fetch as fetch_model
    from workbench.models import is_fetched

    if fetch and not is_fetched(model):
        fetch_model(model)
    bench = workbench.open(model, clt=clt)
    graph = bench.attribute(prompt, targets=_targets(target, minus), chat=chat, cap=cap or DEFAULT_CAP)
    pruned = bench.label(graph.prune(node_threshold, edge_threshold))
    files = [*write_graph(pruned, out), workbench.to_html(pruned, out / "graph.html")]
    result = _result(prompt, graph, pruned)
    tables = {}
    if heads:
        tables["heads"] = strongest_edges_by_head(bench, graph, pruned, heads)
    if contrast is not None:
        why = bench.contrast(prompt, contrast, chat=chat, cap=cap or DEFAULT_CAP)
        tables |= {"contrast": why.features, "contrast_inputs": contrast_inputs(why)}
    files += [write_csv(table, out / f"{name}.csv") for name, table in tables.items()]
    result |= {name: table.to_dict("records") for name, table in tables.items()}
    result |= {
        "seconds": round(graph.info["seconds"], 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "files": [str(path) for path in files],
    }
    if json:
        print_json(result)
    else:
        print_summary(result, graph, pruned, time.perf_counter() - start, tables)


def _targets(targets: list[str] | None, minus: list[str] | None) -> list[Target] | None:
    """Return what to explain, as the options name it."""
    from workbench.attribution import DifferenceTarget, FeatureTarget

    features = [_FEATURE.fullmatch(target) for target in targets or ()]
    if minus:
        if not targets or any(features):
            raise ConfigError(
                "--minus sets tokens against the tokens of --target: give one or more tokens with --target."
            )
        return [DifferenceTarget(targets, minus)]
    return [
        FeatureTarget(*map(int, found.groups())) if found else target
        for target, found in zip(targets or (), features, strict=True)
    ] or None


def _result(prompt: str, graph: Graph, pruned: Graph) -> dict[str, Any]:
    scores = graph.scores()
    logits = graph.nodes[graph.nodes["kind"] == "logit"]
    return {
        "prompt": prompt,
        "tokens": list(graph.tokens),
        "targets": [
            {"token": str(token), "probability": None if isnan(probability) else float(probability)}
            for token, probability in zip(logits["token"], logits["probability"], strict=True)
        ],
        "active_features": graph.info["active_features"],
        "nodes": len(pruned.nodes),
        "edges": pruned.n_edges,
        "row_sum_error": scores.row_sum_error,
        "replacement_score": scores.replacement,
        "completeness_score": scores.completeness,
        "error_share": scores.error_share,
    }
