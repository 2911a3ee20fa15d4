"""However a build is cut into pieces, stopped, killed or shared out, the atlas is the same to the last bit."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from atlas_brute_force import CORPUS, PLAN, text_rows
from helpers import tiny_clt, tiny_model_folder

from workbench.clt import CLT, load_clt, save_clt
from workbench.corpus import TextCorpus
from workbench.errors import AtlasError, CLTError, ConfigError, FormatError, ModelError, ResourceError
from workbench.features.atlas import Atlas, build_atlas
from workbench.features.atlas.shard import ShardTask, as_dict, count_shard, from_bytes, merged, run_task, to_bytes
from workbench.features.atlas.statistics import LayerStatistics
from workbench.models import LoadedModel, load_model

Build = Callable[..., Atlas | None]


@pytest.fixture
def build(model: LoadedModel, clt: CLT, tmp_path: Path) -> Build:
    def run(**options: Any) -> Atlas | None:
        given: dict[str, Any] = {"corpus": CORPUS, "out": tmp_path / "atlas", "plan": PLAN, "progress": False}
        return build_atlas(model, clt, **{**given, "clt_name": "tiny", **options})

    return run


def same(one: Atlas | None, other: Atlas | None) -> bool:
    assert one is not None
    assert other is not None
    return bool(pq.read_table(one.file.path).equals(pq.read_table(other.file.path)))


def arrays_equal(one: LayerStatistics, other: LayerStatistics) -> bool:
    left, right = one.to_arrays(), other.to_arrays()
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def test_merged_shards_are_the_whole(model: LoadedModel, clt: CLT) -> None:
    tokens = text_rows(model, "train").astype(np.int32)
    whole = count_shard(model, clt, tokens, first_row=0, plan=PLAN)
    cut = 5 * PLAN.batch_rows
    parts = [
        count_shard(model, clt, rows, first_row=first, plan=PLAN)
        for first, rows in ((0, tokens[:cut]), (cut, tokens[cut:]))
    ]
    assert whole is not None
    assert parts[0] is not None
    assert parts[1] is not None
    for one, other in zip(whole, merged(parts[0], parts[1], d_vocab=model.d_vocab, plan=PLAN), strict=True):
        # Sums of floats depend on the order in their last bit; all else is exact.
        assert np.allclose(one.total, other.total, rtol=1e-12)
        assert np.allclose(one.token_total, other.token_total, rtol=1e-12)
        assert arrays_equal(one, replace(other, total=one.total, token_total=one.token_total))


def test_counts_survive_a_file(model: LoadedModel, clt: CLT) -> None:
    counts = count_shard(model, clt, text_rows(model, "train")[:20].astype(np.int32), first_row=0, plan=PLAN)
    assert counts is not None
    read = from_bytes(to_bytes(counts), clt.n_layers, PLAN, "there")
    assert all(arrays_equal(one, other) for one, other in zip(counts, read, strict=True))
    with pytest.raises(FormatError, match=r"^there is damaged .* delete it and build again"):
        from_bytes(to_bytes(counts)[:-10], clt.n_layers, PLAN, "there")


@pytest.mark.parametrize("after", [1, 7, 12])
def test_a_stopped_build_goes_on_behind_its_last_shard(build: Build, built: Atlas, tmp_path: Path, after: int) -> None:
    calls = iter(range(1000))
    assert build(stop=lambda: next(calls) >= after) is None
    assert not (tmp_path / "atlas" / "atlas.parquet").exists()
    shares: list[float] = []
    finished = build(observe=lambda stage, done: shares.append(done))
    assert same(finished, built)
    assert not (tmp_path / "atlas" / "build").exists()
    # The first share that is told is what was found finished, a shard of five batches or none.
    assert (shares[0] > 0.3) == (after > 5)


def test_a_build_of_another_text_begins_anew(build: Build, built: Atlas) -> None:
    calls = iter(range(1000))
    other = TextCorpus("others", [*CORPUS.texts[::-1], "w3 w4 w5"])
    assert build(corpus=other, stop=lambda: next(calls) >= 8) is None
    assert same(build(), built)


def test_what_is_built_already_is_not_built_again(build: Build) -> None:
    first = build()
    assert first is not None
    stamp = first.file.path.stat().st_mtime_ns
    again = build()
    assert again is not None
    assert again.file.path.stat().st_mtime_ns == stamp
    anew = build(rebuild=True)
    assert anew is not None
    assert anew.file.path.stat().st_mtime_ns > stamp


def test_two_builds_at_once_do_not_meet(build: Build, tmp_path: Path) -> None:
    started, finish = threading.Event(), threading.Event()

    def wait(stage: str, done: float) -> None:
        started.set()
        finish.wait(60)

    first = threading.Thread(target=lambda: build(observe=wait))
    first.start()
    assert started.wait(60)
    with pytest.raises(AtlasError, match=r"Another process builds the atlas in .* already"):
        build()
    finish.set()
    first.join()
    assert (tmp_path / "atlas" / "atlas.parquet").is_file()


def test_a_damaged_part_is_told(build: Build, tmp_path: Path) -> None:
    calls = iter(range(1000))
    assert build(stop=lambda: next(calls) >= 8) is None
    (part,) = (tmp_path / "atlas" / "build").glob("counted-*.safetensors")
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"counted-000001.safetensors is damaged .* delete it and build again"):
        build()


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The folders of a model and of its CLT, which other processes load."""
    folder = tmp_path_factory.mktemp("on_disk")
    tiny_model_folder(folder / "model")
    model = load_model(folder / "model")
    save_clt(tiny_clt(model, n_features=10), folder / "clt")
    return str(folder / "model"), str(folder / "clt")


@pytest.fixture(scope="module")
def serial(on_disk: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, CLT, Atlas]:
    model = load_model(on_disk[0])
    clt = load_clt(on_disk[1], model=model)
    out = tmp_path_factory.mktemp("serial")
    atlas = build_atlas(model, clt, corpus=CORPUS, out=out, plan=PLAN, clt_name=on_disk[1], progress=False)
    assert atlas is not None
    return model, clt, atlas


def test_two_processes_build_the_same_atlas(serial: tuple[LoadedModel, CLT, Atlas], tmp_path: Path) -> None:
    model, clt, atlas = serial
    options: dict[str, Any] = {"corpus": CORPUS, "plan": PLAN, "clt_name": atlas.info["clt"], "progress": False}
    assert same(build_atlas(model, clt, out=tmp_path / "atlas", workers=2, **options), atlas)


def test_stopped_processes_keep_what_they_finished(serial: tuple[LoadedModel, CLT, Atlas], tmp_path: Path) -> None:
    model, clt, atlas = serial
    # Seven shards: beside the one at work a process has another one waiting.
    plan = PLAN.model_copy(update={"shard_batches": 2})
    options: dict[str, Any] = {"corpus": CORPUS, "plan": plan, "clt_name": atlas.info["clt"], "progress": False}
    told: list[float] = []

    def observe(stage: str, done: float) -> None:
        told.append(done)

    stopped = build_atlas(
        model, clt, out=tmp_path / "a", workers=1, stop=lambda: bool(told), observe=observe, **options
    )
    assert stopped is None
    assert 0 < told[-1] < 1
    assert same(
        build_atlas(model, clt, out=tmp_path / "a", **options), build_atlas(model, clt, out=tmp_path / "b", **options)
    )


def test_a_cluster_builds_the_same_atlas(serial: tuple[LoadedModel, CLT, Atlas], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    model, clt, atlas = serial
    options: dict[str, Any] = {"corpus": CORPUS, "plan": PLAN, "clt_name": atlas.info["clt"], "progress": False}
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": True}
    with distributed.LocalCluster(**local, local_directory=str(tmp_path / "dask")) as cluster:
        built = build_atlas(model, clt, out=tmp_path / "atlas", scheduler=cluster.scheduler_address, **options)
    assert same(built, atlas)


def test_a_killed_build_goes_on(
    on_disk: tuple[str, str], serial: tuple[LoadedModel, CLT, Atlas], tmp_path: Path
) -> None:
    """SIGKILL leaves no time to tidy up; the lock is the system's and what was merged is whole."""
    model, clt, atlas = serial
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from atlas_brute_force import CORPUS, PLAN
from workbench.clt import load_clt
from workbench.features.atlas import build_atlas
from workbench.models import load_model
model = load_model({on_disk[0]!r})
clt = load_clt({on_disk[1]!r}, model=model)
def wait(stage, done):
    if done > 0.6:
        print("half", flush=True)
        import time; time.sleep(600)
build_atlas(model, clt, corpus=CORPUS, plan=PLAN, out=Path({str(tmp_path / "atlas")!r}), observe=wait, progress=False)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    shares: list[float] = []
    options: dict[str, Any] = {"corpus": CORPUS, "plan": PLAN, "clt_name": on_disk[1], "progress": False}
    finished = build_atlas(
        model, clt, out=tmp_path / "atlas", observe=lambda stage, done: shares.append(done), **options
    )
    assert shares[0] > 0.3
    assert same(finished, atlas)


def task_of(on_disk: tuple[str, str], model: LoadedModel, **changes: Any) -> dict[str, Any]:
    tokens = text_rows(model, "train")[:4].astype(np.int32)
    task = ShardTask(0, tokens, 0, PLAN, on_disk[0], model.fingerprint, on_disk[1], "", 1)
    return as_dict(replace(task, **changes))


def test_a_worker_refuses_another_model_or_clt(
    on_disk: tuple[str, str], serial: tuple[LoadedModel, CLT, Atlas]
) -> None:
    with pytest.raises(ModelError, match="A worker has another model than this one under the name"):
        run_task(task_of(on_disk, serial[0], fingerprint="0"))
    with pytest.raises(CLTError, match="A worker has another CLT than this one under"):
        run_task(task_of(on_disk, serial[0]))


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tokens": 0}, ConfigError, "An atlas of 0 tokens says nothing: ask for at least 1."),
        ({"corpus": TextCorpus("empty", [])}, FormatError, "The corpus 'empty' .* does not fill one row of 16 tokens"),
        ({"tokens": 10_000_000}, ConfigError, "but 666667 were asked for: ask for fewer or give more text"),
        ({"plan": PLAN.model_copy(update={"row_length": 65})}, ConfigError, "'tiny-llama' reads at most 64 tokens"),
        ({"workers": 0}, ConfigError, "0 workers cannot work"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, ConfigError, "Both workers and a scheduler were given"),
        ({"corpus": "nowhere.txt"}, ConfigError, "The corpus 'nowhere.txt' is unknown"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_sentence(
    build: Build, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(**options)


def test_a_scheduler_that_does_not_answer_is_told(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setattr("workbench.features.atlas.schedule._CONNECT_SECONDS", 0.5)
    with pytest.raises(ResourceError, match=r"No Dask scheduler answers at 'tcp://127.0.0.1:1'"):
        build(scheduler="tcp://127.0.0.1:1")


def test_without_dask_a_scheduler_is_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(
        ConfigError, match=r"needs Dask, which is not installed: pip install 'circuit-workbench\[cluster\]'"
    ):
        build(scheduler="tcp://127.0.0.1:1")


def test_activations_that_are_no_numbers_are_refused(clt: CLT, model: LoadedModel, tmp_path: Path) -> None:
    from helpers import tiny_model

    broken = tiny_model("llama", dtype=torch.float32)
    with torch.no_grad():
        next(iter(broken.bridge.parameters())).fill_(float("nan"))
    with pytest.raises(ModelError, match="hold a NaN or an infinity"):
        build_atlas(broken, clt, corpus=CORPUS, out=tmp_path, plan=PLAN, progress=False)


def test_without_held_out_text_labels_have_no_score(build: Build, model: LoadedModel) -> None:
    from workbench.corpus import is_held_out

    atlas = build(corpus=TextCorpus("train only", [text for text in CORPUS.texts if not is_held_out(text)]))
    assert atlas is not None
    assert atlas.table()["label_score"].isna().all()
    assert atlas.find(kind="input-like")["label_reason"].eq("the corpus has no held-out text").all()
