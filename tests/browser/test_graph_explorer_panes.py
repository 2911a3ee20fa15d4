"""Table, paths and difference of a graph in a real JupyterLab: what is seen, and what Python holds of it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from workbench.benchmarks.browser.lab import Lab

from .views import ExplorerView

OTHER = "from helpers import tiny_prompt\nother = bench.attribute(tiny_prompt(seed=1), progress=False)"


def ids(root: Locator) -> list[str]:
    """Return the nodes of the rows that a table has built, in their order."""
    found: list[str] = root.locator("tr[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)")
    return found


def row(root: Locator, node_id: str) -> Locator:
    return root.locator(f'tr[data-id="{node_id}"]')


def open_tab(view: ExplorerView, key: str) -> Locator:
    """Click a tab and return its pane."""
    view.root.get_by_test_id(f"tab-{key}").click()
    pane = view.root.get_by_test_id(key)
    expect(pane).to_be_visible()
    return pane


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_lists_sorts_and_filters_the_drawn_nodes(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    pane = open_tab(view, "table")
    tiny.wait_for_python("explorer.view == 'table'")
    drawn = view.root.get_attribute("data-nodes")
    expect(pane.get_by_test_id("table-count")).to_have_text(f"{drawn} drawn nodes")
    inner = "explorer.graph.nodes[~explorer.graph.nodes['kind'].isin(['logit', 'bias'])]"
    best = tiny.python(f"{inner}.nlargest(3, 'influence')['node_id'].tolist()")
    assert [node for node in ids(pane) if not node.startswith("l/")][:3] == best
    heading = pane.locator('th[data-column="influence"]')
    expect(heading).to_have_attribute("aria-sort", "descending")
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert best[0] not in ids(pane)[:3]
    pane.get_by_test_id("table-filter").fill("token")
    tokens = tiny.python("(explorer.graph.nodes['kind'] == 'token').sum().item()")
    expect(pane.get_by_test_id("table-count")).to_have_text(f"{tokens} of {drawn} drawn nodes")
    assert {node.split("/")[0] for node in ids(pane)} == {"t"}
    # What is drawn follows the slider of the graph.
    tiny.execute("explorer.node_threshold = 0.2")
    expect(pane.get_by_test_id("table-count")).not_to_contain_text(f"of {drawn} drawn")


def test_rows_select_pin_and_point_in_both_directions(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=1, view='table')")
    pane = view.root.get_by_test_id("table")
    first, second = tiny.python("features[:2]")
    row(pane, first).hover()
    tiny.wait_for_python(f"explorer.hovered_id == {first!r}")
    row(pane, first).click()
    view.show_details_of(first)
    row(pane, second).click(modifiers=["ControlOrMeta"])
    tiny.wait_for_python(f"explorer.selected['node_id'].tolist() == {[first, second]!r}")
    row(pane, second).get_by_role("button", name="Pin").click()
    tiny.wait_for_python(f"explorer.pinned_ids == {[second]!r}")
    expect(row(pane, second).get_by_role("button", name="Unpin")).to_have_attribute("aria-pressed", "true")
    # A pointer that rests on the table means the row that comes to stand under it.
    view.leave()
    tiny.wait_for_python("explorer.hovered_id is None")
    tiny.execute(f"explorer.pinned = []\nexplorer.hovered_id = {first!r}")
    expect(row(pane, first)).to_have_class("wbx-pointed")
    expect(row(pane, second).get_by_role("button", name="Pin", exact=True)).to_be_visible()
    tiny.execute("explorer.selected = 't/3'")
    expect(row(pane, "t/3")).to_have_attribute("aria-selected", "true")


def test_the_table_is_walked_with_the_keys_and_the_notebook_stays_as_it_is(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=1, view='table')")
    pane = view.root.get_by_test_id("table")
    order = ids(pane)
    before = tiny.look_of_cells()
    table = pane.get_by_role("grid")
    table.focus()
    tiny.wait_for_python(f"explorer.hovered_id == {order[0]!r}")
    table.press("ArrowDown")
    table.press("ArrowDown")
    tiny.wait_for_python(f"explorer.hovered_id == {order[2]!r}")
    table.press("Enter")
    view.show_details_of(order[2])
    table.press("ArrowUp")
    table.press("Control+Enter")
    tiny.wait_for_python(f"explorer.selected_ids == {[order[2], order[1]]!r}")
    table.press("p")
    tiny.wait_for_python(f"explorer.pinned_ids == {[order[1]]!r}")
    table.press("End")
    tiny.wait_for_python(f"explorer.hovered_id not in {order[:3]!r}")
    assert tiny.look_of_cells() == before


def test_two_thousand_rows_stay_fast(tiny: Lab) -> None:
    tiny.execute(
        "from workbench.benchmarks.explorer_graph import synthetic_graph\n"
        "from workbench.widgets import GraphExplorer\nlarge = synthetic_graph(2000, 20_000)"
    )
    view = ExplorerView.shown_by(tiny, "GraphExplorer(large, node_threshold=1, view='table')")
    pane = view.root.get_by_test_id("table")
    expect(pane.get_by_role("grid")).to_have_attribute("aria-rowcount", "2001")
    assert len(ids(pane)) < 60
    scroller = pane.locator(".wbx-grid")
    scroller.evaluate("it => { it.scrollTop = it.scrollHeight }")
    # The rows are built anew after the scrolling: the last one is asked for by its index, which does not change.
    expect(pane.locator('tr[data-id][aria-rowindex="2001"]')).to_be_visible()
    sort: dict[str, Any] = pane.evaluate(
        """pane => {
            const button = pane.querySelector('th[data-column="node"] button');
            const began = performance.now();
            button.click();
            pane.getBoundingClientRect();
            return { ms: performance.now() - began, rows: pane.querySelectorAll('tr[data-id]').length };
        }"""
    )
    assert sort["rows"] < 60
    tiny.page.evaluate("value => console.log(value)", f"a sort of 2,000 rows took {sort['ms']:.1f} ms")


# --- the paths --------------------------------------------------------------------------------------------------------


def chains(pane: Locator) -> list[list[str]]:
    found: list[list[str]] = pane.locator(".wbx-chain").evaluate_all(
        "all => all.map(chain => [...chain.querySelectorAll('[data-id]')].map(chip => chip.dataset.id))"
    )
    return found


def test_the_best_paths_are_those_of_python_and_lead_into_the_graph(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    pane = open_tab(view, "paths")
    expect(pane.locator(".wbx-chain")).to_have_count(5)
    best = tiny.python("explorer.paths['path'].tolist()")
    assert chains(pane) == best == tiny.python("explorer.graph.paths()['path'].tolist()")
    pane.locator(".wbx-chain").first.get_by_test_id("paths-show").click()
    tiny.wait_for_python(f"explorer.selected_ids == {best[0]!r} and explorer.view == 'graph'")
    expect(view.canvas).to_be_visible()
    assert view.chips("selected") == best[0]


def test_the_ends_of_paths_come_from_the_selection_or_from_python(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, node_threshold=1, view='paths')")
    pane = view.root.get_by_test_id("paths")
    source, target = tiny.python("explorer.graph.paths(k=1)['path'].iloc[0][:2]")
    tiny.execute(f"explorer.selected = {[target, source]!r}")
    pane.get_by_test_id("paths-between").click()
    tiny.wait_for_python(f"[explorer.path_query[end] for end in ('source', 'target')] == [{[source]!r}, {[target]!r}]")
    count = tiny.python("len(explorer.paths)")
    expect(pane.locator(".wbx-chain")).to_have_count(count)
    assert chains(pane) == tiny.python("explorer.paths['path'].tolist()")
    tiny.execute("explorer.path_query = {'source': ['t/1'], 'k': 3, 'sign': '-'}")
    expect(pane.get_by_test_id("paths-sign")).to_have_value("-")
    count = tiny.python("len(explorer.paths)")
    expect(pane.locator(".wbx-chain")).to_have_count(count)
    assert all(chain[0] == "t/1" for chain in chains(pane))
    # A chip selects its node; one that is no target is refused in Python's words.
    pane.locator(".wbx-chain [data-id='t/1']").first.click()
    view.show_details_of("t/1")
    pane.get_by_test_id("paths-target-selected").click()
    expect(pane.get_by_role("alert")).to_contain_text("'t/1' is no feature or logit")


def test_without_a_kernel_the_paths_say_so(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    tiny.restart_kernel()
    pane = open_tab(view, "paths")
    expect(pane.get_by_test_id("paths-note")).to_contain_text("No kernel to ask")
    # The table needs none.
    assert ids(open_tab(view, "table"))


# --- the difference ---------------------------------------------------------------------------------------------------


def test_two_graphs_are_compared_by_what_changed_most(tiny: Lab) -> None:
    tiny.execute(OTHER)
    view = ExplorerView.shown_by(tiny, "bench.explore(graph, other=other, view='diff')")
    pane = view.root.get_by_test_id("diff")
    rows = ids(pane)
    tiny.execute(
        "table = explorer.difference.nodes.set_index('node').fillna(0)\n"
        "change = lambda row, what: abs(getattr(row, what + '_b') - getattr(row, what + '_a'))\n"
        "size = lambda row: change(row, 'probability' if row.kind == 'logit' else 'influence')"
    )
    sizes = tiny.python(f"[float(size(row)) for row in table.loc[{rows[:10]!r}].itertuples()]")
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0
    expect(pane.get_by_test_id("diff-prompts")).to_contain_text("There")
    # What is only there is no node of this graph.
    pane.get_by_test_id("diff-both").uncheck()
    pane.get_by_test_id("diff-a").uncheck()
    alone = ids(pane)
    assert set(tiny.python(f"table.loc[{alone!r}, 'where'].tolist()")) == {"b"}
    row(pane, alone[0]).click(force=True)
    assert tiny.python("explorer.selected_ids") == []
    pane.get_by_test_id("diff-both").check()
    shared = next(node for node in ids(pane) if node not in alone and tiny.python(f"{node!r} in graph.row_of_node"))
    row(pane, shared).click()
    tiny.wait_for_python(f"explorer.selected_ids == {[shared]!r}")
    dot = pane.get_by_test_id("diff-picture").locator(f'[data-id="{shared}"]')
    tiny.page.wait_for_function("dot => dot.matches('.wbx-diff-selected')", arg=dot.element_handle())


def test_without_another_graph_the_difference_says_how_to_give_one(tiny: Lab) -> None:
    view = ExplorerView.shown_by(tiny)
    expect(open_tab(view, "diff")).to_contain_text("bench.explore(graph, other=")
