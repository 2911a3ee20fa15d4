"""The tools of these tests work: widgets, plots, kernel and request guard in a real JupyterLab."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

from workbench.benchmarks.browser.lab import KernelError, Lab
from workbench.benchmarks.browser.traffic import Traffic, is_foreign

SLIDER = """
import ipywidgets
slider = ipywidgets.IntSlider(value=3, min=0, max=10, description="steps")
slider
"""

GREETING = '''
import anywidget, traitlets

class Greeting(anywidget.AnyWidget):
    _esm = """
    function render({ model, el }) {
      const show = () => { el.textContent = `Hello ${model.get("name")}`; };
      model.on("change:name", show);
      show();
    }
    export default { render };
    """
    name = traitlets.Unicode("world").tag(sync=True)

greeting = Greeting()
greeting
'''

FIGURE = """
import plotly.graph_objects as go
go.Figure(go.Scatter(x=[1, 2, 3], y=[2, 1, 3]), layout={"title": {"text": "Three points"}})
"""


def test_a_slider_moved_by_keyboard_gives_its_value_in_python(lab: Lab) -> None:
    lab.new_notebook([SLIDER])
    lab.run_cell(0)
    handle = lab.widget(0).get_by_role("slider")
    handle.focus()
    handle.press("ArrowRight")
    handle.press("ArrowRight")
    lab.wait_for_python("slider.value == 5")


def test_an_anywidget_shows_its_text_and_follows_python(lab: Lab) -> None:
    lab.new_notebook([GREETING])
    lab.run_cell(0)
    lab.widget(0).get_by_text("Hello world").wait_for()
    lab.execute("greeting.name = 'Mary'")
    lab.widget(0).get_by_text("Hello Mary").wait_for()
    assert not lab.traffic.foreign
    # The guard sees sockets too: that of the kernel is among what it recorded.
    assert any(url.startswith("ws://127.0.0.1") for url in lab.traffic.requests)


def test_a_plotly_figure_is_drawn_without_a_network(lab: Lab) -> None:
    lab.new_notebook([FIGURE])
    lab.run_cell(0)
    lab.output(0).locator(".js-plotly-plot .scatterlayer .points path").first.wait_for()
    lab.output(0).get_by_text("Three points").wait_for()
    (output,) = lab.cell_output(0)
    # plotly's extension adds a picture, which other viewers of the notebook show; it adds no copy of its script.
    assert set(output["data"]) <= {"application/vnd.plotly.v1+json", "image/png", "text/plain"}
    assert lab.save().stat().st_size < 100_000


def test_the_kernel_answers_and_its_exceptions_reach_the_test(lab: Lab) -> None:
    lab.new_notebook(["import sys; x = 20", "print(x + 1); x", "1 / 0"])
    lab.run_cell(0)
    lab.run_cell(1)
    assert [output["output_type"] for output in lab.cell_output(1)] == ["stream", "execute_result"]
    assert lab.python("{'x': x, 'text': 'é\"'}") == {"x": 20, "text": 'é"'}
    assert lab.python("sys.executable") == sys.executable
    with pytest.raises(KernelError, match="ZeroDivisionError"):
        lab.run_cell(2)
    with pytest.raises(KernelError, match="ZeroDivisionError"):
        lab.run_all()
    with pytest.raises(KernelError, match="NameError"):
        lab.python("missing")
    with pytest.raises(KernelError, match="ValueError: no"):
        lab.execute("raise ValueError('no')")
    lab.restart_kernel()
    assert lab.python("'x' in globals()") is False


def test_the_theme_changes_and_a_picture_is_taken(lab: Lab, tmp_path: Path) -> None:
    lab.new_notebook([SLIDER])
    pictures = []
    for theme in ("dark", "light"):
        lab.set_theme(theme)
        pictures.append(lab.screenshot(".jp-Notebook", tmp_path / f"{theme}.png").read_bytes())
    assert pictures[0] != pictures[1]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


# --- the request guard ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "script"),
    [
        ("request", "fetch('http://example.com/data.json')"),
        (
            "request",
            "document.head.append(Object.assign(document.createElement('script'), {src: 'http://example.com/a.js'}))",
        ),
        ("request", "document.body.innerHTML = '<img src=http://example.com/a.png>'"),
        ("request", "import('http://example.com/module.js')"),
        ("request", "navigator.sendBeacon('http://example.com/beacon', 'x')"),
        ("request", "fetch('http://192.0.2.1/by-address')"),
        ("websocket", "new WebSocket('ws://example.com/socket')"),
        ("websocket", "new WebSocket('ws://192.0.2.1/socket')"),
    ],
)
def test_a_request_to_another_host_is_recorded_and_fails_the_test(
    page: Page, traffic: Traffic, event: str, script: str
) -> None:
    with page.expect_event(event):
        page.evaluate(f"() => {{ {script} }}")
    assert len(traffic.foreign) == 1
    with pytest.raises(AssertionError, match=r"example\.com|192\.0\.2\.1"):
        traffic.check()
    assert not traffic.foreign


def test_a_blocked_request_fails_in_the_page(page: Page, traffic: Traffic) -> None:
    outcome = page.evaluate("fetch('http://example.com/').then(() => 'came through', error => `${error}`)")
    assert "Failed to fetch" in outcome
    assert traffic.take_foreign() == ["http://example.com/"]
    assert any("ERR_BLOCKED_BY_CLIENT" in line for line in traffic.errors)


@pytest.mark.parametrize("host", ["example.com", "192.0.2.1"])
def test_a_socket_to_another_host_does_not_open(page: Page, traffic: Traffic, host: str) -> None:
    outcome = page.evaluate(
        """host => new Promise(resolve => {
            const socket = new WebSocket(`ws://${host}/`);
            socket.onopen = () => resolve('open');
            socket.onerror = () => resolve('refused');
        })""",
        host,
    )
    assert outcome == "refused"
    assert traffic.take_foreign() == [f"ws://{host}/"]
    assert any("ERR_NAME_NOT_RESOLVED" in line for line in traffic.errors), traffic.errors


def test_an_error_in_the_page_is_recorded(page: Page, traffic: Traffic) -> None:
    with page.expect_event("pageerror"):
        page.evaluate("() => { console.error('a complaint'); setTimeout(() => { throw new Error('uncaught one'); }); }")
    assert "console: a complaint" in traffic.errors
    assert any("uncaught one" in line for line in traffic.errors)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8888/lab", "data:text/plain,x", "blob:http://127.0.0.1/1", "file:///x"]
)
def test_what_stays_on_the_machine_is_not_foreign(url: str) -> None:
    assert not is_foreign(url)


@pytest.mark.parametrize("url", ["https://cdn.example.com/a.js", "ws://example.com/", "http://127.0.0.1.example.com/"])
def test_what_leaves_the_machine_is_foreign(url: str) -> None:
    assert is_foreign(url)
