"""Asking of one graph whether it shows the model or only the method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError
from workbench.evaluation.baselines import shuffled
from workbench.evaluation.scrutiny import lines
from workbench.evaluation.scrutiny.attention import ablations, attention_share
from workbench.evaluation.scrutiny.compare import (
    Grids,
    Other,
    Picture,
    cosine_interval,
    cosine_of,
    figures_of,
    influential_features,
    picture,
)
from workbench.evaluation.scrutiny.model import (
    ablated_mlps,
    held_from,
    logit_lens,
    patchable,
    patched_residuals,
    sampled_cells,
)
from workbench.evaluation.scrutiny.probe import Labelled, last_residuals, probed
from workbench.evaluation.scrutiny.result import Line, Scrutiny
from workbench.evaluation.scrutiny.shares import carried, direct_parts, effect_grid, influence_grid, path_errors
from workbench.evaluation.validation.validate import followed_token
from workbench.interventions import CleanRun
from workbench.models import token_strings

_PATHS = 20


def scrutinise(
    clean: CleanRun,
    graph: Graph,
    *,
    variants: Sequence[Other] = (),
    command: str = "workbench variants CLT --model MODEL",
    corrupted: CleanRun | None = None,
    probe: Mapping[str, Sequence[tuple[int, ...]]] | None = None,
    k: int = 20,
    n_features: int = 50,
    n_cells: int = 240,
    seed: int = 0,
    progress: bool = True,
) -> Scrutiny:
    """Ask of a graph whether it shows the model, or only the method.

    An interrupt (Ctrl-C, a notebook's stop button) ends it early: the report then has the lines that there are, and
    one that says what is missing.

    Args:
        clean: the clean run of the graph's prompt.
        graph: prune it or not. Its outputs are tokens at the last position; the most probable is the answer.
        variants: other transcoders of the model to compare with; one named ``reference`` is what the others differ
            from by one thing.
        command: what trains variants, for the line that says that there are none.
        corrupted: the clean run of a prompt of as many tokens that the model answers otherwise.
        probe: for a linear probe, labels and the token ids of their prompts, at least five each; the graph's own label
            comes first.
        k: how many features to ablate.
        n_features: how many features to look for in the variants.
        n_cells: how many (layer, position) of MLPs and of residual streams to try, drawn at random where there are
            more.
        seed: of controls, draws and intervals.

    Raises:
        ConfigError: the graph explains no token at the last position, has fewer than two features, or explains
            something else besides; the corrupted prompt or the probe's prompts do not fit; or a number cannot be used.
    """
    if min(k, n_features, n_cells) < 2:
        raise ConfigError(f"k is {k}, n_features {n_features} and n_cells {n_cells}: give at least 2 of each.")
    if graph.n_features < 2:
        raise ConfigError(f"The graph has {graph.n_features} features, and at least 2 are needed: keep more of it.")
    case = _Case(clean, graph, seed, progress)
    others = [Other("shuffled", "shuffled decoders", lambda: shuffled(clean.clt, seed=seed)), *variants]
    patches = None if corrupted is None else sampled_cells(patchable(clean, corrupted), n_cells, seed=seed)
    labelled = None if probe is None else Labelled.of(probe, tuple(clean.tokens.tolist()))
    cells = sampled_cells(_after_start(clean), n_cells, seed=seed)
    found: list[Line] = []
    tables: dict[str, pd.DataFrame] = {}
    steps = len(others) + 2 + min(k, graph.n_features) + len(cells) + len(patches or ())
    steps += 0 if labelled is None else len(labelled.prompts) + 1
    done: list[str] = []
    with tqdm(total=steps, desc="scrutinising", disable=not progress) as bar:
        parts: dict[str, Callable[[], object]] = {
            "paths and variants": lambda: _variants(case, others, n_features, command, found, tables, bar.update),
            "the model's own": lambda: _model(case, cells, corrupted, patches, found, tables, bar.update),
            "the probe": lambda: _probe(case, labelled, found, tables, bar.update),
            "attention": lambda: _attention(case, k, found, tables, bar.update),
        }
        try:
            for name, part in parts.items():
                part()
                done.append(name)
        except KeyboardInterrupt:
            missing = ", ".join(name for name in parts if name not in done)
            found.append(lines.missing_line("interrupted", "What is missing?", f"interrupted during: {missing}."))
    return Scrutiny.of(graph.prompt, case.answer, found, tables)


class _Case:
    """A graph with its clean run, and what all parts of the report need of them."""

    def __init__(self, clean: CleanRun, graph: Graph, seed: int, progress: bool) -> None:
        self.clean, self.seed = clean, seed
        self.logit_row, self.token_id = followed_token(graph)
        ids = graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"].astype(str)
        last = str(len(graph.tokens) - 1)
        parts = [node.split("/") for node in ids]
        if any(part[0] != "l" or part[2] != last for part in parts):
            raise ConfigError(
                "The graph explains something else than tokens at the last position, which other transcoders have no "
                "equal of: attribute the prompt with tokens alone."
            )
        self.targets = [int(part[1]) for part in parts]
        self.answer_id = str(ids.iloc[self.logit_row])
        self.answer = token_strings(clean.model, torch.tensor([self.token_id]))[0]
        self._graph = graph

    @cached_property
    def whole(self) -> Graph:
        """The graph before it was pruned."""
        if "node_threshold" not in self._graph.info:
            return self._graph
        tokens = self.clean.tokens
        return attribute(self.clean.model, self.clean.clt, tokens, targets=self.targets, progress=False)

    @cached_property
    def shown(self) -> Graph:
        """The graph as it is drawn."""
        return self._graph if "node_threshold" in self._graph.info else self._graph.prune()


def _variants(
    case: _Case,
    others: Sequence[Other],
    n_features: int,
    command: str,
    found: list[Line],
    tables: dict[str, pd.DataFrame],
    advance: Callable[[], object],
) -> None:
    clean, whole, seed = case.clean, case.whole, case.seed
    grids = Grids.of(whole, case.logit_row, clean.model.n_layers)
    features = influential_features(whole, n_features)
    own = figures_of(whole, case.logit_row)
    rows: list[Mapping[str, Any]] = [{"variant": "own", "title": "this graph's", **own}]
    known: dict[str, Picture] = {}
    for other in others:
        made = picture(
            other.name,
            other.title,
            clean.model,
            other.load(),
            clean.tokens,
            case.targets,
            own=clean.clt,
            own_grids=grids,
            features=features,
            logit_row=case.logit_row,
        )
        advance()
        rows.append(made.row)
        tables["variants"] = pd.DataFrame(rows)
        known[other.name] = made
        if other.name == "shuffled":
            tables["paths"] = path_errors(case.shown, whole, case.answer_id, k=_PATHS)
            theirs = path_errors(made.graph.prune(), made.graph, case.answer_id, k=_PATHS)
            found.append(lines.path_line(tables["paths"], theirs, seed=seed))
            found.append(
                lines.direct_line(direct_parts(whole, case.logit_row), case.answer, made.row["features_share"])
            )
            found.append(lines.dictionary_line(own["replacement"], made.row["replacement"]))
            continue
        reference = known.get("reference") if other.name != "reference" else None
        found.append(
            lines.variant_line(
                made.row,
                own_replacement=own["replacement"],
                shuffled=known["shuffled"].row,
                to_reference=None if reference is None else cosine_of(reference.grids.effect, made.grids.effect),
                bounds=cosine_interval(grids.effect, made.grids.effect, seed=seed),
                found=made.found,
                seed=seed,
            )
        )
    if len(others) == 1:
        found.append(
            lines.missing_line(
                "variants",
                "Does the picture change with another seed, another sparsity, a PLT?",
                f"no variants of this CLT are here; train them with: {command}",
            )
        )


def _model(
    case: _Case,
    cells: list[tuple[int, int]],
    corrupted: CleanRun | None,
    patches: list[tuple[int, int]] | None,
    found: list[Line],
    tables: dict[str, pd.DataFrame],
    advance: Callable[[], object],
) -> None:
    clean, n_layers = case.clean, case.clean.model.n_layers
    tables["lens"] = logit_lens(clean, case.token_id)
    found.append(lines.lens_line(held_from(tables["lens"]), n_layers, _half_of_direct(case), case.answer))
    advance()
    effects = ablated_mlps(clean, cells, case.token_id, advance)
    tables["mlps"] = _with_influence(effects, influence_grid(case.whole, n_layers))
    found.append(lines.mlp_line(tables["mlps"], seed=case.seed))
    if corrupted is None or patches is None:
        found.append(
            lines.missing_line(
                "model",
                "Is the answer carried where the graph says? (activation patching)",
                'give corrupted="…", a prompt of as many tokens that the model answers otherwise.',
            )
        )
        return
    recovered = patched_residuals(clean, corrupted, patches, case.token_id, advance)
    tables["patching"] = _with_influence(recovered, carried(case.whole, n_layers))
    found.append(lines.patching_line(tables["patching"], seed=case.seed))


def _probe(
    case: _Case,
    labelled: Labelled | None,
    found: list[Line],
    tables: dict[str, pd.DataFrame],
    advance: Callable[[], object],
) -> None:
    if labelled is None:
        found.append(
            lines.missing_line(
                "model",
                "Can what the prompt is about be read off the residual stream? (linear probe)",
                'give probe={"label of this prompt": [prompts], "another label": [prompts]}, at least five each.',
            )
        )
        return
    clean = case.clean
    residuals = last_residuals(clean.model, [*labelled.prompts, tuple(clean.tokens.tolist())], advance)
    tables["probe"], right = probed(residuals[:, :-1], residuals[:, -1], labelled, seed=case.seed)
    found.append(lines.probe_line(tables["probe"], right, labelled, seed=case.seed))


def _attention(
    case: _Case, k: int, found: list[Line], tables: dict[str, pd.DataFrame], advance: Callable[[], object]
) -> None:
    share = attention_share(case.clean, case.whole, case.targets)
    found.append(lines.through_line(share, case.whole.n_edges))
    advance()
    tables["ablations"] = ablations(
        case.clean, case.whole, case.logit_row, case.token_id, k=k, seed=case.seed, advance=advance
    )
    found.append(lines.frozen_line(tables["ablations"], seed=case.seed))
    found.append(lines.prediction_line(tables["ablations"], seed=case.seed))


def _after_start(clean: CleanRun) -> torch.Tensor:
    allowed = torch.ones(clean.model.n_layers, clean.n_positions, dtype=torch.bool)
    allowed[:, 0] = False
    return allowed


def _half_of_direct(case: _Case) -> int | None:
    """Return the layer from which on the features up to it add half of what all add; None where they add nothing."""
    effect = effect_grid(case.whole, case.logit_row, case.clean.model.n_layers).sum(dim=1).cumsum(0)
    if float(effect[-1]) <= 0:
        return None
    below = (effect < effect[-1] / 2).nonzero().flatten()
    return int(below[-1]) + 1 if len(below) else 0


def _with_influence(table: pd.DataFrame, grid: torch.Tensor) -> pd.DataFrame:
    index = tuple(torch.tensor(table[name].to_numpy("int64")) for name in ("layer", "position"))
    table.insert(3, "influence", grid[index].numpy())
    return table
