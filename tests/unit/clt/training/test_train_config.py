from __future__ import annotations

from pathlib import Path

import pytest
from helpers import tiny_recipe

from workbench.clt.training.config import load_train_config
from workbench.clt.training.trainer import active_features, learning_rate
from workbench.errors import ConfigError
from workbench.files import DATA


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_needs_a_model_and_nothing_else(tmp_path: Path) -> None:
    config = load_train_config(write(tmp_path, 'model = "smollm2-135m-instruct"'))

    assert (config.n_features, config.window, config.skip) == (512, 2, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokens = 5", r"recipe\.toml is not usable: model: Field required"),
        ('model = "m"\nwindwo = 2', r"windwo: Extra inputs are not permitted"),
        ('model = "m"\nk = -1', r"k: Input should be greater than 0"),
        ('model = "m"\nk = 600', r"k = 600 exceeds n_features = 512"),
        ('model = "m"\ntokens = 100', r"batch_tokens = 1024 exceeds"),
        ('model = "m"\nrow_length = 1', r"row_length must be at least 2"),
        ('model = "m"\nwindwo = 2\nfoo = 1', r"windwo: Extra .*; foo: Extra"),
        ('model = "m"\nsparsity = 0.5', r"sparsity = 0\.5 contradicts activation = topk: it is for jumprelu"),
        (
            'model = "m"\nactivation = "jumprelu"\nthreshold_from = 0.1',
            r"threshold_from = 0\.1 contradicts activation = jumprelu: it is for topk or batchtopk",
        ),
        ('model = "m"\naux_k = 8', r"aux_k = 8 contradicts dead = resample: it is for auxk"),
        ('model = "m"\ndead = "auxk"\nresample_every = 5', r"resample_every = 5 contradicts dead = auxk"),
        ('model = "m"\nwarm_start = "x"\ninit = "random"', r"init = random contradicts warm_start = x"),
        ("model = ", r"Cannot read the recipe .*recipe\.toml: Invalid value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_train_config(write(tmp_path, text))

    assert "\n" not in str(error.value)


def test_a_missing_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read the recipe"):
        load_train_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize("path", sorted((DATA / "clt" / "recipes").glob("*.toml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_valid_and_bear_their_models_name(path: Path) -> None:
    assert load_train_config(path).model == path.stem.removesuffix("-kl")


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = tiny_recipe(lr=1.0, warmup=0.1, decay=0.5, lr_final=0.2)

    rates = [learning_rate(config, step, 100) for step in range(100)]

    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[50] == 1.0
    assert rates[75] == pytest.approx(0.6)
    assert rates[99] == pytest.approx(0.216)


def test_k_falls_to_its_final_value() -> None:
    config = tiny_recipe(k=3, k_start=4, k_anneal=0.5)

    assert [active_features(config, step, 100) for step in (0, 25, 50, 99)] == [12, 8, 3, 3]
