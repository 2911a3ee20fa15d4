"""A short atlas of the default model's shipped CLT."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.attribution import attribute
from workbench.clt import CLT, default_clt, load_clt
from workbench.corpus import bundled, token_rows
from workbench.features.atlas import Atlas, AtlasPlan, build_atlas
from workbench.models import LoadedModel, capture

pytestmark = pytest.mark.integration

PLAN = AtlasPlan(sample_tokens=500, held_out_tokens=500, batch_rows=8)
N_ROWS = 16


@pytest.fixture(scope="module")
def clt(smollm2: LoadedModel) -> CLT:
    return load_clt(default_clt(smollm2.name), model=smollm2)


@pytest.fixture(scope="module")
def atlas(smollm2: LoadedModel, clt: CLT, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    tokens = N_ROWS * (PLAN.row_length - 1)
    out = tmp_path_factory.mktemp("atlas")
    built = build_atlas(smollm2, clt, tokens=tokens, out=out, plan=PLAN, clt_name=smollm2.name, progress=False)
    assert built is not None
    return built


def test_counts_are_those_of_a_dense_pass(atlas: Atlas, smollm2: LoadedModel, clt: CLT) -> None:
    rows = token_rows(bundled(), smollm2.tokenizer, start_token_id=0, row_length=PLAN.row_length, split="train")
    tokens = torch.stack(list(islice(rows, N_ROWS)))
    table = atlas.table()
    for layer in (0, 15, 29):
        name = clt.config.read_hook.format(layer=layer)
        # In the batches of the build: a matrix product of another shape may differ in its last bit.
        reads = [capture(smollm2, batch, [name])[name][:, 1:].flatten(0, 1) for batch in tokens.split(PLAN.batch_rows)]
        values = torch.cat([clt.encode(layer, read) for read in reads]).numpy()
        of_layer = table[table["layer"] == layer]
        assert (of_layer["n_active"].to_numpy() == (values > 0).sum(axis=0)).all()
        assert of_layer["max_activation"].to_numpy() == pytest.approx(values.max(axis=0), rel=1e-5)


def test_a_card_has_everything(atlas: Atlas) -> None:
    row = atlas.table().sort_values("n_active", ascending=False).query("layer == 10").iloc[0]
    card = atlas.card(row["layer"], row["feature"])
    assert card.complete
    for part in (card.examples, card.top_logits, card.bottom_logits, card.top_tokens, card.upstream, card.downstream):
        assert part
    assert sum(card.histogram["counts"]) == sum(card.positions["counts"]) == card.n_active
    assert card.examples[0]["activation"] == pytest.approx(card.max_activation)
    assert sorted(card.quantiles.values()) == list(card.quantiles.values())


def test_labels_name_graphs_and_what_fires_on_a_text(atlas: Atlas, smollm2: LoadedModel, clt: CLT) -> None:
    found = atlas.find_text("The capital of Texas is")
    assert found["activation"].is_monotonic_decreasing
    assert (found["label"] != "").all()
    graph = atlas.label_graph(attribute(smollm2, clt, "The capital of Texas is", progress=False))
    assert (graph.nodes.loc[graph.nodes["kind"] == "feature", "label"] != "").all()


def test_the_compact_atlas_fits_beside_the_weights(atlas: Atlas, tmp_path: Path) -> None:
    path = atlas.write_compact(tmp_path / "atlas.parquet")
    assert path.stat().st_size <= 5_000_000
    compact = Atlas.open(path, model=atlas.model, clt=atlas.clt)
    assert np.array_equal(compact.table()["density"], atlas.table()["density"])
