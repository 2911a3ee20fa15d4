"""What `workbench trace` prints for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.cli.output import console

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from workbench.attribution import Graph
    from workbench.attribution.contrast import Contrast
    from workbench.session import Session


def strongest_edges_by_head(bench: Session, graph: Graph, pruned: Graph, n: int) -> pd.DataFrame:
    """Return the n most influential edges between positions, each split by the heads that carry it."""
    import pandas as pd

    position = pruned.nodes.set_index("node_id")["position"]
    edges = pruned.edges.astype({"source": str, "target": str})
    # A bias stands for what it adds, and within one position there is little to carry.
    edges = edges[~edges["source"].str.startswith("b/")]
    apart = position[edges["source"]].to_numpy() != position[edges["target"]].to_numpy()
    split = [
        bench.heads(graph, row.source, row.target).assign(source=row.source, target=row.target)
        for row in edges[apart].head(n).itertuples()
    ]
    columns = ["source", "target", "layer", "head", "weight", "through"]
    return pd.concat(split, ignore_index=True)[columns] if split else pd.DataFrame(columns=columns)


def contrast_inputs(why: Contrast, *, k: int = 5) -> pd.DataFrame:
    """Return for every contrasted feature the k sources whose effect on it has fallen most."""
    import pandas as pd

    found = []
    for layer, feature, position in why.features[["layer", "feature", "position_a"]].to_numpy().tolist():
        inputs = why.inputs(layer, feature, position).head(k)
        found.append(inputs.assign(target=f"p/{layer}/{feature}/{position}"))
    return pd.concat(found, ignore_index=True)


def print_summary(
    result: dict[str, Any], graph: Graph, pruned: Graph, seconds: float, tables: Mapping[str, pd.DataFrame]
) -> None:
    """Print the summary; ``tables`` are those that were asked for besides."""
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
    says = all(target["probability"] is not None for target in result["targets"])
    tokens = table("What the model says next" if says else "What is explained", token="left", probability="right")
    for target in result["targets"]:
        probability = target["probability"]
        tokens.add_row(repr(target["token"]), "" if probability is None else f"{probability:.1%}")
    out.print(tokens, "")

    strongest = table(
        "The strongest features", layer="right", feature="right", position="left", influence="right", label="left"
    )
    features = pruned.nodes[pruned.nodes["kind"] == "feature"].nlargest(10, "influence")
    for row in features.to_dict("records"):
        place = f"{row['position']} {row['token']!r}"
        strongest.add_row(str(row["layer"]), str(row["feature"]), place, f"{row['influence']:.3f}", row["label"])
    out.print(strongest, "")

    paths = table("The strongest paths from a token through features to the first target", share="right", path="left")
    names = dict(zip(pruned.nodes["node_id"], pruned.nodes["token"], strict=True))
    for row in strongest_paths(pruned, k=5, direct=False).to_dict("records"):
        steps = [f"{names[node]!r}" if node[0] in "tl" else f"{node} at {names[node]!r}" for node in row["path"]]
        paths.add_row(f"{row['share']:+.4f}", " → ".join(steps))
    out.print(paths, "")

    if "heads" in tables:
        heads = table(
            "The heads that carry the strongest edges", source="left", target="left", head="right", weight="right"
        )
        for _, edge in tables["heads"].groupby(["source", "target"], sort=False):
            for row in edge.head(3).to_dict("records"):
                name = "residual stream" if row["head"] < 0 else f"L{row['layer']} H{row['head']}"
                heads.add_row(row["source"], row["target"], name, f"{row['weight']:+.4f}")
        out.print(heads, "")
    if "contrast" in tables:
        lost = table(
            "Active here, silent on the other prompt, and what it lost most",
            feature="left",
            lost="right",
            because_of="left",
            change="right",
        )
        for row in tables["contrast"].to_dict("records"):
            feature = f"p/{row['layer']}/{row['feature']}/{row['position_a']}"
            inputs = tables["contrast_inputs"]
            for at, cause in enumerate(inputs[inputs["target"] == feature].head(3).to_dict("records")):
                first = (
                    (f"{row['layer']}/{row['feature']} at {row['token_a']!r}", f"{row['lost']:+.2f}")
                    if at == 0
                    else ("", "")
                )
                lost.add_row(*first, str(cause["source"]), f"{cause['weight_change']:+.3f}")
        out.print(lost, "")

    scores = table("Is it the model, or only the method?", score="left", value="right", meaning="left")
    scores.add_row(
        "replacement", f"{result['replacement_score']:.3f}", "influence that starts at tokens, not at errors"
    )
    scores.add_row("completeness", f"{result['completeness_score']:.3f}", "nodes' input that features explain")
    scores.add_row("error share", f"{result['error_share']:.3f}", "mean share of a node's input that is error")
    scores.add_row("row-sum error", f"{result['row_sum_error']:.1e}", "deviation from what the model computed")
    out.print(scores, "")
    left_out, share = graph.info["left_out_features"], graph.info["left_out_influence"]
    beyond = (
        f" ({left_out} beyond the cap, with about {share:.0%} of the influence, count as error)" if left_out else ""
    )
    out.print(
        f"{result['active_features']} active features{beyond}"
        + f"; after pruning {result['nodes']} nodes and {result['edges']} edges.\n"
        f"Attribution took {result['seconds']:.1f} s, all together {seconds:.1f} s; "
        f"peak memory {result['peak_memory_mb'] / 1000:.1f} GB.",
        soft_wrap=True,
    )
    out.print("Files: " + ", ".join(result["files"]), soft_wrap=True)
