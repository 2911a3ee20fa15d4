"""torchrun starts the trainer as the docs say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers import tiny_model_folder, tiny_prompt

from workbench.clt import load_clt


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "workbench.clt.train", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_two_processes_of_torchrun_train_and_one_reports(tmp_path: Path) -> None:
    tiny_model_folder(tmp_path / "model")
    text = "\n\n".join(tiny_prompt(length=60, seed=seed) for seed in range(120))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'model = "{tmp_path / "model"}"\ncorpus = "{tmp_path / "text.txt"}"\nparallel = "features"\n'
        "n_features = 24\nk = 3\ntokens = 1200\nheld_out_tokens = 200\nepochs = 4\nrow_length = 16\n"
        "harvest_rows = 8\nbatch_tokens = 128\nexport = 'float32'\n",
        encoding="utf-8",
    )

    done = torchrun(str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["steps"], report["machine"]["processes"]) == (36, 2)
    assert done.stderr.count("features shared out to 2 processes") == 1
    assert load_clt(tmp_path / "run" / "clt").config.n_features == 24
    assert (tmp_path / "run" / "checkpoint.step-36.rank-1-of-2.safetensors").exists()


def test_an_error_is_told_once(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('model = "tiny"\nwindwo = 2\n', encoding="utf-8")

    done = torchrun(str(recipe), "--device", "cpu")

    assert done.returncode != 0
    assert done.stderr.count("is not usable: windwo: Extra inputs are not permitted") == 1
