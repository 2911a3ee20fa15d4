"""The linear probe, on residual streams that are known, and its line in the report."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import attribute
from workbench.errors import ConfigError
from workbench.evaluation.scrutiny import scrutinise
from workbench.evaluation.scrutiny.lines import probe_line
from workbench.evaluation.scrutiny.probe import Labelled, last_residuals, probed
from workbench.interventions import CleanRun
from workbench.interventions.local_replacement import RESIDUAL_HOOK
from workbench.models import capture

OWN = (0, 1, 2)


def labelled(n_first: int = 12, n_second: int = 12) -> Labelled:
    prompts = [(0, 3, at) for at in range(n_first + n_second)]
    return Labelled.of({"yes": prompts[:n_first], "no": prompts[n_first:]}, OWN)


def streams(one: Labelled, *signal: float, d_model: int = 40) -> torch.Tensor:
    """Return noise at every depth, and along one direction the label, as strong as is said."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(signal), len(one.prompts), d_model, generator=generator, dtype=torch.float64)
    direction = torch.randn(d_model, generator=generator, dtype=torch.float64)
    side = 1.0 - 2.0 * one.label
    return noise + torch.tensor(signal)[:, None, None] * side[None, :, None] * direction


@pytest.mark.parametrize(("n_first", "n_second"), [(12, 12), (30, 6)])
def test_a_label_that_stands_in_the_stream_is_read_and_one_that_does_not_is_not(n_first: int, n_second: int) -> None:
    one = labelled(n_first, n_second)
    table, right = probed(streams(one, 0.0, 0.0, 2.0), torch.zeros(3, 40).double(), one, seed=0)
    assert table["layer"].tolist() == [-1, 0, 1]
    assert table["accuracy"].iloc[2] == 1
    assert right.mean() == 1
    assert (table["accuracy"].iloc[:2] < 0.8).all()
    assert table["control"].to_numpy() == pytest.approx(0.5, abs=0.12)
    # The best of three depths is better than one, also by chance.
    assert table["best_control"].iloc[0] > table["control"].mean()


def test_the_graphs_prompt_gets_the_label_of_those_it_is_like() -> None:
    one = labelled()
    known = streams(one, 2.0)
    for at, name in enumerate(("yes", "no")):
        own = known[:, one.label == at].mean(dim=1)
        assert probed(known, own, one, seed=0)[0]["says"].tolist() == [name]


def test_prompts_that_are_all_alike_give_chance() -> None:
    one = labelled()
    table, _ = probed(torch.ones(1, 24, 8).double(), torch.ones(1, 8).double(), one, seed=0)
    assert table["accuracy"].tolist() == [0.5]


def test_more_than_two_labels() -> None:
    one = Labelled.of({name: [(0, at, 9 + index) for index in range(8)] for at, name in enumerate("abc")}, OWN)
    centres = 4 * torch.eye(3, 20, dtype=torch.float64)[one.label]
    noise = torch.randn(1, 24, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    table, _ = probed(noise + centres, centres[one.label == 2][:1], one, seed=0)
    assert table["accuracy"].iloc[0] > 0.9
    assert table["control"].iloc[0] == pytest.approx(1 / 3, abs=0.15)
    assert table["says"].tolist() == ["c"]


def test_the_streams_are_those_of_the_last_position() -> None:
    model = tiny_model("llama")
    found = last_residuals(model, [(0, 4, 5), (0, 4, 5, 6, 7)])
    assert found.shape == (model.n_layers + 1, 2, model.d_model)
    for at, ids in enumerate([(0, 4, 5), (0, 4, 5, 6, 7)]):
        name = RESIDUAL_HOOK.format(layer=1)
        expected = capture(model, torch.tensor([ids]), [name])[name][0, -1]
        assert torch.equal(found[2, at], expected.double())
        assert torch.equal(found[0, at], model.bridge.embed.weight[ids[-1]].detach().double())


def test_the_line_counts_labels_alike_and_names_the_layer() -> None:
    one = labelled(18, 6)
    table, _ = probed(streams(one, 0.0, 2.0, 2.0), streams(one, 2.0, 2.0, 2.0)[:, 0], one, seed=0)
    right = torch.ones(24, dtype=torch.float64)
    right[one.label == 1] = 0.5
    found = probe_line(table, right, one, seed=0)
    assert found.number == 1
    assert found.n == 24
    assert found.control == table["best_control"].iloc[0]
    assert "behind layer 0" in found.answer
    assert "It takes this prompt for 'yes' from" in found.answer
    # Half of the prompts of one label: their mean recall is three quarters, however many the other one has.
    assert found.interval is not None
    assert np.mean(found.interval) == pytest.approx(0.75, abs=0.1)


def test_what_cannot_be_read_is_said() -> None:
    one = labelled()
    table, right = probed(streams(one, 0.0, 0.0), torch.zeros(2, 40).double(), one, seed=0)
    assert probe_line(table, right, one, seed=0).answer.startswith("Not clearly: a probe")


def test_a_report_has_the_line_with_labelled_prompts_and_says_what_to_give_without() -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=20)
    clean, graph = CleanRun.of(model, clt, tiny_tokens()), attribute(model, clt, tiny_tokens(), progress=False)
    ids = tuple(tiny_tokens().tolist())
    prompts = {name: [(*ids[:-2], at, last) for at in range(1, 7)] for name, last in (("seven", 7), ("nine", 9))}
    options = {"k": 2, "n_cells": 2, "progress": False}
    page = scrutinise(clean, graph, probe=prompts, **options)
    (row,) = page.lines[page.lines["question"].str.contains("linear probe")].to_dict("records")
    # The last token is the label.
    assert row["number"] == 1
    assert row["answer"].startswith("Yes: a probe at the last position tells 'seven', 'nine' apart in 100%")
    assert "100% from the last token's embedding alone" in row["answer"]
    assert page.tables["probe"]["layer"].tolist() == list(range(-1, model.n_layers))
    without = scrutinise(clean, graph, **options)
    (said,) = without.lines.loc[without.lines["question"].str.contains("linear probe"), "answer"]
    assert said.startswith("Not measured: give probe=")
    assert "probe" not in without.tables


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"only": [(0, 1)]}, "number of labels of the probe is 1"),
        ({"a": [(0, at) for at in range(8)], "b": [(1, 1), (1, 1), OWN]}, "under the probe's label 'b' is 1, the"),
        ({"a": [(0, at) for at in range(8)], "b": [(0, 3), *((1, at) for at in range(8))]}, "Prompt 1 under .*'b'"),
    ],
)
def test_prompts_that_cannot_be_told_apart_are_refused(
    examples: dict[str, list[tuple[int, ...]]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Labelled.of(examples, OWN)
