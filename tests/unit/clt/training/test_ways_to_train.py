"""Every activation and every treatment of dead features, from recipe to exported transcoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_model, tiny_recipe, tiny_training_run, train_to_the_end

from workbench.clt import CLTConfig, load_clt
from workbench.clt.training.checkpoint import TrainState, load_checkpoint, make_optimiser
from workbench.clt.training.initialise import initialise
from workbench.clt.training.parameters import Normalisation
from workbench.clt.training.trainer import Trainer, objective_at

NO_RESAMPLING = {"resample_every": 100}


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "batchtopk"},
        {"activation": "jumprelu"},
        {"tied": True},
        {"activation": "jumprelu", "tied": True, "skip": True, "dead": "auxk", **NO_RESAMPLING},
        {"activation": "batchtopk", "dead": "auxk", "aux_k": 4, **NO_RESAMPLING},
        {"dead": "none", **NO_RESAMPLING},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_each_way_learns_and_is_exported_at_the_wanted_l0(tmp_path: Path, options: dict[str, Any]) -> None:
    model = tiny_model("llama", dtype=torch.float32)

    report = train_to_the_end(tiny_training_run(tmp_path, model=model, window=3, epochs=12, init="random", **options))

    lines = metrics(tmp_path)
    assert lines[-1]["fvu"] < 0.8 * lines[0]["fvu"]
    assert report["l0"] == pytest.approx(3 * model.n_layers, rel=0.05)
    assert report["fvu"] < 0.8
    clt = load_clt(tmp_path / "clt", model=model)
    assert clt.config.window == 3
    if options.get("tied"):
        rows = torch.nn.functional.normalize(clt.W_dec[0], dim=2)
        torch.testing.assert_close((rows[:, 0] * rows[:, 2]).sum(1).abs(), torch.ones(24))
    assert (clt.threshold.std(dim=1) > 0).all() == (options.get("activation") == "jumprelu")


def test_learned_thresholds_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    run = tiny_training_run(tmp_path, activation="jumprelu", tied=True, window=2)
    train_to_the_end(run)

    state = load_checkpoint(tmp_path, run.config)

    assert state.parameters.form == run.config.form
    assert all(bool(state.optimiser.state[learned]["exp_avg"].any()) for learned in state.parameters.log_threshold)
    assert len({float(value) for value in state.parameters.log_threshold[0]}) > 1


def test_with_auxk_dead_features_go_on_learning(tmp_path: Path) -> None:
    """Without it a feature that is never among the top k never gets a gradient."""
    untouched = {}
    for what in ("none", "auxk"):
        options: dict[str, Any] = {"n_features": 200, "k": 2, "k_start": 1, "epochs": 20, "init": "random"}
        run = tiny_training_run(tmp_path / what, dead=what, threshold_from=1, **NO_RESAMPLING, **options)
        train_to_the_end(run)
        state = load_checkpoint(tmp_path / what, run.config)
        second = torch.stack([state.optimiser.state[rows]["exp_avg_sq"] for rows in state.parameters.W_enc])
        untouched[what] = int((second == 0).all(dim=2).sum())

    assert untouched["none"] > 10
    assert untouched["auxk"] == 0


class SparseDirections:
    """Batches of sparse sums of more directions than there are dimensions, without an end."""

    n_steps = 120
    n_tokens = 128

    def __init__(self, *, n_layers: int, d_model: int) -> None:
        drawn = torch.randn(2 * n_layers, 40, d_model, generator=torch.Generator().manual_seed(0))
        self.n_layers, self.directions = n_layers, torch.nn.functional.normalize(drawn, dim=-1)

    def batch(self, step: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(step)
        present, size = torch.rand(2, self.n_layers, self.n_tokens, 40, generator=generator)
        return ((present < 0.08) * size).repeat(2, 1, 1) @ self.directions

    def must_refill(self, step: int) -> bool:
        return False

    def refill(self, step: int) -> bool:
        return True


def trained_with_half_its_features_dead(out: Path, dead: str) -> Trainer:
    """The features of the second half begin with encoders so short that they never are among the top k."""
    batches = SparseDirections(n_layers=2, d_model=24)
    shape = CLTConfig(model="tiny", n_layers=2, d_model=24, n_features=64)
    recipe = {"k": 4, "k_start": 1, "window": 1, "threshold_from": 1, "dead_after": 2_000, **NO_RESAMPLING}
    config = tiny_recipe(**recipe, n_features=64, dead=dead, batch_tokens=batches.n_tokens)
    sample = batches.batch(-1)
    normalisation = Normalisation.of(sample)
    parameters = initialise(shape, seed=0, k=4, activations=normalisation.apply_(sample))
    for encoder in parameters.W_enc:
        encoder[32:] *= 0.01
    never = torch.zeros(2, 64, dtype=torch.int64)
    state = TrainState(parameters, normalisation, make_optimiser(parameters, config.lr), never, torch.zeros(2))
    trainer = Trainer(config, state, batches, out, progress=False)
    trainer.run()
    return trainer


def test_with_auxk_dead_features_come_alive(tmp_path: Path) -> None:
    dead = {}
    fvu = {}
    for what in ("none", "auxk"):
        (tmp_path / what).mkdir()
        dead[what] = trained_with_half_its_features_dead(tmp_path / what, what).dead
        fvu[what] = metrics(tmp_path / what)[-1]["fvu"]

    assert dead["none"] > 0.4
    assert dead["auxk"] < 0.25
    assert fvu["auxk"] < fvu["none"]


def test_the_penalty_rises_to_its_coefficient() -> None:
    config = tiny_recipe(activation="jumprelu", sparsity=0.4, sparsity_warmup=0.5)
    dead = torch.zeros(1, 1, dtype=torch.bool)

    rising = [objective_at(config, step, 100, dead).sparsity for step in (0, 24, 49, 99)]

    assert rising == pytest.approx([0.008, 0.2, 0.4, 0.4])
    assert objective_at(tiny_recipe(), 50, 100, dead).sparsity == 0
