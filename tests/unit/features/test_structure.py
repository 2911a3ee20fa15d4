"""What is counted over a corpus, against loops over its tokens."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import in_float64, tiny_clt, tiny_hf_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.features.structure import CLASSES, Structure, kinds_by_layer, structure
from workbench.features.structure.count import NATS_A_BIN
from workbench.models import LoadedModel, capture, from_huggingface
from workbench.plots import feature_kinds, smear, token_classes

WORDS = ["<s>", "</s>", ".", ",", "?!", "\n", "\n\n", " ", "\ufffd", *(f"w{i}" for i in range(9, 50))]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="</s>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="</s>", eos_token="</s>")
    return in_float64(from_huggingface(tiny_hf_model("llama"), tokenizer, name="tiny", start_token_id=0))


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    clt = tiny_clt(model, active=0.4)
    return replace(clt, threshold=clt.threshold * 1.001)


@pytest.fixture(scope="module")
def batches() -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    rows = torch.randint(2, 50, (3, 8, 20), generator=random)
    # Plenty of words, so that there are sentences to be in the middle of.
    rows = torch.where(torch.rand(rows.shape, generator=random) < 0.7, rows.clamp_min(9), rows)
    rows[:, :, 0] = 0
    return list(rows)


@pytest.fixture(scope="module")
def counted(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> Structure:
    return structure(model, clt, batches, progress=False)


@pytest.fixture(scope="module")
def active(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> np.ndarray:
    """Where every feature fires: (row, position, layer, feature), without the start tokens."""
    names = [clt.config.read_hook.format(layer=layer) for layer in range(3)]
    kept = capture(model, torch.cat(batches), names)
    return torch.stack([clt.encode(layer, kept[name]) > 0 for layer, name in enumerate(names)], dim=2)[:, 1:].numpy()


@pytest.fixture(scope="module")
def entropies(model: LoadedModel, batches: list[torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        logits = model.bridge(torch.cat(batches), return_type="logits")
    probability = logits.double().softmax(dim=-1)
    return -(probability * probability.log()).sum(dim=-1)[:, 1:].numpy()


def test_runs_are_those_of_consecutive_positions(counted: Structure, active: np.ndarray) -> None:
    table = counted.smear().set_index(["layer", "feature"])
    assert len(table) == active.any(axis=(0, 1)).sum()
    for (layer, feature), row in table.iterrows():
        lengths = [
            len(list(run)) for line in active[:, :, layer, feature] for fires, run in itertools.groupby(line) if fires
        ]
        assert row["mean_run"] == pytest.approx(np.mean(lengths))
        assert row["density"] == pytest.approx(sum(lengths) / active[:, :, 0, 0].size)


def test_the_expected_run_is_that_of_shuffled_rows(counted: Structure, active: np.ndarray) -> None:
    table = counted.smear().set_index(["layer", "feature"])
    layer, feature = table["density"].idxmax()
    random = np.random.default_rng(0)
    shuffled = np.concatenate([random.permuted(active[:, :, layer, feature], axis=1) for _ in range(400)])
    starts = shuffled.copy()
    starts[:, 1:] &= ~shuffled[:, :-1]
    row = table.loc[(layer, feature)]
    assert row["expected_run"] == pytest.approx(shuffled.sum() / starts.sum(), rel=0.02)
    assert row["smear"] == pytest.approx(row["mean_run"] / row["expected_run"])


def class_of(row: list[int], at: int) -> str:
    """Return the class of a token; ``"mid"`` also for those that the control may take."""
    text, before = WORDS[row[at]], WORDS[row[at - 1]]
    if at == 1:
        return "after the start token"
    if text in (".", ",", "?!", "\ufffd"):
        return "punctuation"
    if text.startswith("\n"):
        return "newline"
    return "mid" if text.startswith("w") and before.startswith("w") else ""


def test_classes_are_compared_at_equal_entropy(
    counted: Structure, active: np.ndarray, entropies: np.ndarray, batches: list[torch.Tensor]
) -> None:
    rows = torch.cat(batches).tolist()
    names = np.array([[class_of(row, at) for at in range(1, 20)] for row in rows])
    assert counted.tokens[:3].sum(axis=1).tolist() == [(names == name).sum() for name in CLASSES[:3]]
    assert counted.tokens[3:].sum() == (names == "mid").sum()
    bins = (entropies / NATS_A_BIN).astype(int)
    # Mid-sentence tokens and control together: the split between the two is random.
    together = counted.fires[3] + counted.fires[4]
    for at in np.unique(bins):
        np.testing.assert_allclose(together[at], active[(names == "mid") & (bins == at)].sum(axis=0))
    for number, name in enumerate(CLASSES[:3]):
        table = counted.classes().query("token_class == @name")
        both = (counted.tokens[number] > 0) & (counted.tokens[4] > 0)
        chosen = (names == name) & both[bins]
        expected = active[chosen].sum(axis=2).mean(axis=0)
        np.testing.assert_allclose(table["active"], expected)
        assert (table["n_tokens"] == chosen.sum()).all()
        assert table["entropy"].iloc[0] == pytest.approx(entropies[chosen].mean(), abs=1e-5)
        assert abs(table["entropy"] - table["matched_entropy"]).max() < NATS_A_BIN
        matched = (
            sum(
                counted.tokens[number, at] * counted.fires[4, at] / counted.tokens[4, at] for at in np.flatnonzero(both)
            )
            / chosen.sum()
        )
        np.testing.assert_allclose(table["matched"], matched.sum(axis=1), rtol=1e-6)


def test_features_that_gather_at_a_class_come_first(counted: Structure) -> None:
    table = counted.gathering("punctuation", k=5)
    assert len(table) == 5
    assert (table["difference"].diff().dropna() <= 0).all()
    np.testing.assert_allclose(table["difference"], table["rate"] - table["matched_rate"])
    assert (table["z"] > 2).any()


def test_the_control_shows_no_difference(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    """Over many seeds the control's features are neither more nor fewer than those it is compared with."""
    ratios = [
        structure(model, clt, batches, seed=seed, progress=False).classes().query("token_class == 'control'")["ratio"]
        for seed in range(12)
    ]
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_a_stopped_count_gives_what_was_counted(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    one = structure(model, clt, batches, stop=lambda: True, progress=False)
    assert one.n_tokens == 8 * 19
    np.testing.assert_array_equal(one.n_active, structure(model, clt, batches[:1], progress=False).n_active)


KINDS = pd.DataFrame(
    {
        "layer": [0, 0, 0, 0, 2, 2],
        "feature": range(6),
        "kind": ["input-like", "input-like", "abstract", "silent", "output-like", "silent"],
        "density": 0.1,
    }
)


def test_shares_are_of_the_features_that_fire() -> None:
    table = kinds_by_layer(KINDS)
    assert table["layer"].tolist() == [0, 0, 0, 2, 2, 2]
    assert table["kind"].tolist() == ["input-like", "abstract", "output-like"] * 2
    assert table["n_features"].tolist() == [2, 1, 0, 0, 0, 1]
    assert table["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 0, 1])
    categorical = KINDS.astype({"kind": "category", "layer": "int16"})
    pd.testing.assert_frame_equal(kinds_by_layer(categorical), table, check_dtype=False)


def test_figures_hold_what_the_tables_hold(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    counted = structure(model, clt, batches, table=KINDS, progress=False)
    kinds = feature_kinds(counted.kinds())
    assert [trace.name for trace in kinds.data] == ["input-like", "abstract", "output-like"]
    assert list(kinds.data[0].y) == pytest.approx([2 / 3, 0])
    median = smear(counted).data[-1]
    np.testing.assert_allclose(median.y, counted.smear_by_layer()["median"])
    lines = token_classes(counted).data
    assert {trace.name for trace in lines} == set(counted.classes()["token_class"])


def test_what_cannot_be_counted_is_told(model: LoadedModel, clt: CLT, counted: Structure) -> None:
    with pytest.raises(ConfigError, match="There was no token to count"):
        structure(model, clt, [torch.zeros(2, 1, dtype=torch.long)], progress=False)
    with pytest.raises(ConfigError, match="has no column 'kind'"):
        structure(model, clt, [], table=KINDS.drop(columns="kind"), progress=False)
    with pytest.raises(ConfigError, match="The kind 'loud' is unknown"):
        kinds_by_layer(KINDS.assign(kind="loud"))
    with pytest.raises(ConfigError, match="No table of kinds was given"):
        counted.kinds()
    with pytest.raises(ConfigError, match="'comma' and k is 20: give one of punctuation"):
        counted.gathering("comma")
