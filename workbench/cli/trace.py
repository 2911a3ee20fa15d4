"""`workbench trace`: from a prompt to its attribution graph, as files and a summary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.output import console, print_json

if TYPE_CHECKING:
    from workbench.attribution import Graph

DEFAULT_MODEL = "smollm2-135m-instruct"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    prompt: Annotated[str, typer.Argument(help="The text whose next token is to be explained.")],
    model: Annotated[str, typer.Option(help="A named model, a hub name or a folder.")] = DEFAULT_MODEL,
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt through the model's chat template.")] = False,
    clt: Annotated[str | None, typer.Option(help="A CLT's name or folder [default: the model's own].")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="A token to explain (repeatable) [default: the most probable].")
    ] = None,
    node_threshold: Annotated[float, typer.Option(min=0, max=1, help="Share of the nodes' influence to keep.")] = 0.8,
    edge_threshold: Annotated[float, typer.Option(min=0, max=1, help="Share of the edges' influence to keep.")] = 0.98,
    cap: Annotated[int | None, typer.Option(min=1, help="Largest number of features [default: 8192].")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the graph's four files.")] = Path("out/trace"),
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch a named model first if it is not here.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Trace one prompt: its graph as graph.json, nodes.csv, edges.csv and graph.html, and a summary on the terminal."""
    start = time.perf_counter()
    import workbench
    from workbench.attribution.engine import DEFAULT_CAP
    from workbench.attribution.tables import write_graph
    from workbench.memory import peak_memory_mb
    from workbench.models import fetch as fetch_model
    from workbench.models import is_fetched

    if fetch and not is_fetched(model):
        fetch_model(model)
    bench = workbench.open(model, clt=clt)
    graph = bench.attribute(prompt, targets=target or None, chat=chat, cap=cap or DEFAULT_CAP)
    pruned = bench.label(graph.prune(node_threshold, edge_threshold))
    files = [*write_graph(pruned, out), workbench.to_html(pruned, out / "graph.html")]
    result = _result(prompt, graph, pruned)
    result |= {
        "seconds": round(graph.info["seconds"], 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "files": [str(path) for path in files],
    }
    if json:
        print_json(result)
    else:
        _print_summary(result, graph, pruned, time.perf_counter() - start)


def _result(prompt: str, graph: Graph, pruned: Graph) -> dict[str, Any]:
    scores = graph.scores()
    logits = graph.nodes[graph.nodes["kind"] == "logit"]
    return {
        "prompt": prompt,
        "tokens": list(graph.tokens),
        "targets": [
            {"token": str(token), "probability": float(probability)}
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


def _print_summary(result: dict[str, Any], graph: Graph, pruned: Graph, seconds: float) -> None:
    from rich.table import Table

    from workbench.attribution.paths import strongest_paths

    out = console()

    def table(title: str, **columns: str) -> Table:
        # Not the table's own title, which would be wrapped to the table's width.
        out.print(title, style="bold", soft_wrap=True)
        made = Table(box=None, pad_edge=False)
        for name, justify in columns.items():
            made.add_column(name.replace("_", " "), justify=justify, overflow="fold")  # type: ignore[arg-type]
        return made

    out.print(f"\n{result['prompt']!r}  ({graph.info['model']}, CLT {graph.info['clt']})\n", soft_wrap=True)
    tokens = table("What the model says next", token="left", probability="right")
    for target in result["targets"]:
        tokens.add_row(repr(target["token"]), f"{target['probability']:.1%}")
    out.print(tokens, "")

    strongest = table(
        "The strongest features", layer="right", feature="right", position="left", influence="right", promotes="left"
    )
    features = pruned.nodes[pruned.nodes["kind"] == "feature"].nlargest(10, "influence")
    for row in features.to_dict("records"):
        place, promotes = f"{row['position']} {row['token']!r}", row["label"].removeprefix("→ ")
        strongest.add_row(str(row["layer"]), str(row["feature"]), place, f"{row['influence']:.3f}", promotes)
    out.print(strongest, "")

    paths = table("The strongest paths from a token through features to the first target", share="right", path="left")
    names = dict(zip(pruned.nodes["node_id"], pruned.nodes["token"], strict=True))
    for row in strongest_paths(pruned, k=5, direct=False).to_dict("records"):
        steps = [f"{names[node]!r}" if node[0] in "tl" else f"{node} at {names[node]!r}" for node in row["path"]]
        paths.add_row(f"{row['share']:+.4f}", " → ".join(steps))
    out.print(paths, "")

    scores = table("Is it the model, or only the method?", score="left", value="right", meaning="left")
    scores.add_row(
        "replacement", f"{result['replacement_score']:.3f}", "influence that starts at tokens, not at errors"
    )
    scores.add_row("completeness", f"{result['completeness_score']:.3f}", "nodes' input that features explain")
    scores.add_row("error share", f"{result['error_share']:.3f}", "mean share of a node's input that is error")
    scores.add_row("row-sum error", f"{result['row_sum_error']:.1e}", "deviation from what the model computed")
    out.print(scores, "")
    left_out = graph.info["left_out_features"]
    out.print(
        f"{result['active_features']} active features"
        + (f" ({left_out} beyond the cap count as error)" if left_out else "")
        + f"; after pruning {result['nodes']} nodes and {result['edges']} edges.\n"
        f"Attribution took {result['seconds']:.1f} s, all together {seconds:.1f} s; "
        f"peak memory {result['peak_memory_mb'] / 1000:.1f} GB.",
        soft_wrap=True,
    )
    out.print("Files: " + ", ".join(result["files"]), soft_wrap=True)
