"""The layout that CONTRIBUTING.md describes is the layout that the code has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "workbench").rglob("*.py"))


def _lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    script = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def test_every_part_imports_only_from_the_parts_below_it() -> None:
    result = _lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("clt/upward.py", "from workbench.cli import app\n"),
        ("unplaced.py", "ANSWER = 42\n"),
    ],
    ids=["an import from above", "a part that no layer names"],
)
def test_the_contract_notices(tmp_path: Path, module: str, text: str) -> None:
    for source in MODULES:
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / "workbench" / module).write_text(text)
    result = _lint_imports(tmp_path)
    assert result.returncode != 0
    assert module.removesuffix(".py").replace("/", ".") in result.stdout + result.stderr


@pytest.mark.parametrize("statement", ["import workbench", "import workbench.cli.app", "import workbench.errors"])
def test_importing_loads_nothing_heavy(statement: str) -> None:
    script = f"import sys; {statement}; print(*(m for m in sys.modules if '.' not in m))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "workbench" in result.stdout.split()
    assert {"torch", "transformer_lens", "transformers", "pandas"}.isdisjoint(result.stdout.split())


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_has_grown_past_400_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_ever_unpickled(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    for way in ("import pickle", "torch.load(", "torch.save(", "joblib", "allow_pickle=True", "trust_remote_code=True"):
        assert way not in text
