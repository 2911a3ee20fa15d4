from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.app import run


def test_a_recipe_with_a_misspelt_field_is_one_line_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('model = "tiny"\nwindwo = 2\n', encoding="utf-8")

    status = run(["train", str(recipe), "--json"])

    captured = capsys.readouterr()
    assert (status, captured.out) == (2, "")
    assert captured.err.splitlines() == [
        f"workbench: The recipe {recipe} is not usable: windwo: Extra inputs are not permitted."
    ]
