"""A training run watched, held and ended from a cell of a real JupyterLab, while the notebook stays usable."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

# A real run of the trainer on a tiny random model: thousands of steps of some milliseconds each.
TRAIN = """
from helpers import tiny_recipe, tiny_token_batches
import workbench.clt.train, workbench.clt.training.run as training_run

workbench.clt.train.load_model = lambda name, **options: model
training_run.resolve_corpus = lambda name, model: None
rows = tiny_token_batches()
training_run.token_batches = lambda *args, split, **options: rows(split)

def train(name, epochs, **options):
    recipe = tiny_recipe(epochs=epochs, dtype="float32", checkpoint_seconds=1000.0, resample_every=0)
    return wb.train(recipe, out=FOLDER + name, **options)
"""


@pytest.fixture
def training(tiny: Lab, tmp_path: Path) -> Lab:
    """Return the notebook with a function ``train(name, epochs)``."""
    tiny.execute(f"FOLDER = {str(tmp_path) + '/'!r}\n{TRAIN}")
    return tiny


def shown_by(lab: Lab, code: str, *, cell: int = 1) -> Locator:
    """Run a cell that shows a monitor and return its root."""
    lab.write_cell(cell, code)
    lab.run_cell(cell)
    return monitor_of(lab, cell)


def monitor_of(lab: Lab, cell: int = 1) -> Locator:
    root = lab.widget(cell).get_by_test_id("training-monitor")
    expect(root).to_be_visible()
    return root


def wait_for_step(root: Locator, above: int) -> int:
    """Wait until the monitor shows a later step, and return it."""
    progress = root.get_by_test_id("progress")
    root.page.wait_for_function(
        "([element, above]) => Number(element.textContent.replaceAll(',', '').split(' ')[1]) > above",
        arg=[progress.element_handle(), above],
    )
    return step_of(root)


def step_of(root: Locator) -> int:
    return int((root.get_by_test_id("progress").text_content() or "").replace(",", "").split()[1])


def test_a_run_is_watched_paused_resumed_and_stopped_while_cells_run(training: Lab) -> None:
    root = shown_by(training, "run = train('long', 30_000)")
    expect(root).to_have_attribute("data-phase", "training")
    step = wait_for_step(root, 5)
    assert root.locator("[data-layer]").count() == 3

    # The kernel answers meanwhile.
    training.write_cell(2, "print(sum(range(10)))")
    training.run_cell(2)
    assert training.cell_output(2)[0]["text"] == "45\n"
    wait_for_step(root, step)

    root.get_by_test_id("pause").click()
    expect(root).to_have_attribute("data-phase", "paused")
    held = training.python("int(run.monitor.metrics['step'].max())")
    expect(root.get_by_test_id("progress")).to_contain_text(f"step {held:,} of")
    assert training.python("int(run.monitor.metrics['step'].max())") == held

    resume = root.get_by_test_id("pause")
    expect(resume).to_have_text("Resume")
    # By keyboard, and no key reaches the notebook.
    before = training.look_of_cells()
    resume.focus()
    training.page.keyboard.press("b")
    training.page.keyboard.press("Enter")
    expect(root).to_have_attribute("data-phase", "training")
    wait_for_step(root, held)
    assert training.look_of_cells() == before

    root.get_by_test_id("stop").click()
    expect(root).to_have_attribute("data-phase", "stopped")
    expect(root.get_by_test_id("stop")).to_be_hidden()
    assert training.python("[run.wait(), run.running]") == [None, False]
    saved = training.python("int(run.monitor.metrics['step'].max())")
    training.execute("from workbench.clt.training.checkpoint import load_checkpoint")
    assert training.python("load_checkpoint(run.out, run.recipe).step") == saved


def test_a_finished_run_shows_its_report_in_every_view_and_theme(training: Lab) -> None:
    root = shown_by(training, "run = train('short', 5)")
    expect(root).to_have_attribute("data-phase", "finished")
    assert step_of(root) == 45
    fvu = training.python("run.report['fvu']")
    expect(root.get_by_test_id("result")).to_contain_text("On held-out text (300 tokens)")
    assert 0 < fvu < 2
    other = shown_by(training, "wb.TrainingMonitor.from_run(run.out)", cell=2)
    expect(other).to_have_attribute("data-phase", "finished")
    assert step_of(other) == 45
    root.locator("summary").click()
    expect(root.locator("tbody").nth(1).locator("tr")).to_have_count(3)
    try:
        training.set_theme("dark")
        expect(root).to_have_attribute("data-theme", "dark")
    finally:
        training.set_theme("light")


def test_after_a_reload_of_the_page_the_run_is_still_followed(training: Lab) -> None:
    root = shown_by(training, "run = train('reloaded', 30_000)")
    # The first of at most 600 rows is a mean over up to 50 steps.
    step = wait_for_step(root, 60)
    training.save()
    training.page.reload()
    training.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length > 1")
    training.wait_until_idle()
    again = monitor_of(training)
    now = wait_for_step(again, step)
    wait_for_step(again, now)
    # Rows from before the reload are there, too.
    assert training.python("int(run.monitor.metrics['step'].min())") < step
    again.get_by_test_id("stop").click()
    expect(again).to_have_attribute("data-phase", "stopped")


def test_without_a_kernel_the_stored_course_stays_and_the_buttons_say_so(training: Lab) -> None:
    root = shown_by(training, "run = train('left', 30_000)")
    wait_for_step(root, 5)
    root.get_by_test_id("pause").click()
    expect(root).to_have_attribute("data-phase", "paused")
    step = step_of(root)
    training.save_widgets_too(True)
    saved = training.save()
    training.save_widgets_too(False)
    training.server.stop_kernels()
    training.open_notebook(saved)
    stored = monitor_of(training)
    assert step_of(stored) == step
    assert stored.locator("[data-layer]").count() == 3
    expect(stored.locator(".wb-notice-text")).to_contain_text("no kernel")
    expect(stored.get_by_test_id("pause")).to_be_disabled()
    expect(stored.get_by_test_id("stop")).to_have_attribute("title", "There is no kernel")


def test_what_a_run_fails_with_is_shown(training: Lab) -> None:
    training.execute("def too_few(*args, split, **options): return iter(())\ntraining_run.token_batches = too_few")
    root = shown_by(training, "run = train('failing', 5)")
    expect(root).to_have_attribute("data-phase", "failed")
    expect(root.locator(".wb-notice-text")).to_contain_text("The corpus ended after 0 of 300 tokens")
