from __future__ import annotations

from typing import Any

import pytest

import workbench as wb
from workbench.errors import ConfigError
from workbench.interventions import Edit, SupernodeEdit
from workbench.widgets.sliders_asked import Asked, Change, as_python, checked_factors, checked_links

A, B, C = "f/0/1/2", "f/0/2/2", "f/1/3/4"
TEXAS, STATES = "s/Texas", "s/States"
MEMBERS = {A: (A,), B: (B,), TEXAS: (A, B), STATES: (B, C)}


def asked(**values: float) -> Asked:
    """Ask for factors by the sliders' names above."""
    factors = {globals()[name]: factor for name, factor in values.items()}
    return Asked({**dict.fromkeys(MEMBERS, 1.0), **factors}, "propagated", MEMBERS)


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({}, []),
        ({"TEXAS": 0}, [Change(TEXAS, (A, B), 0)]),
        # A slider of its own wins over the supernode's, and at 1 it says nothing.
        ({"TEXAS": 0, "A": 2}, [Change(A, (A,), 2), Change(TEXAS, (B,), 0)]),
        ({"TEXAS": 0, "A": 2, "B": 3}, [Change(A, (A,), 2), Change(B, (B,), 3)]),
        # Of two supernodes the later one does.
        ({"TEXAS": 0, "STATES": -1}, [Change(TEXAS, (A,), 0), Change(STATES, (B, C), -1)]),
    ],
)
def test_every_node_is_edited_once(values: dict[str, float], changes: list[Change]) -> None:
    assert asked(**values).changes == changes
    nodes = [edit.node_id for edit in asked(**values).edits]
    assert len(nodes) == len(set(nodes))


class Bench:
    """What a copied call is made on; keeps what it was given."""

    def __init__(self, call: str) -> None:
        self.given: dict[str, Any] = {}
        # What a user pastes into a cell is run; here, too.
        exec(call, {"bench": self, "graph": "the graph", "wb": wb})

    def intervene(self, graph: str, edits: list[Any], **options: Any) -> None:
        self.given = {"graph": graph, "edits": edits, **options}


def test_the_copied_call_has_the_edits_that_are_run() -> None:
    values = asked(A=0.1 + 0.2, TEXAS=-1, STATES=2)
    given = Bench(as_python(values._replace(mode="direct"), k=10)).given
    flat = [edit for each in given.pop("edits") for edit in ([each] if isinstance(each, Edit) else each.edits)]
    assert flat == values.edits
    assert given == {"graph": "the graph", "mode": "direct"}
    assert Bench(as_python(asked(), k=3)).given == {"graph": "the graph", "edits": [], "mode": "propagated", "k": 3}


def test_a_supernodes_name_is_quoted_whatever_it_holds() -> None:
    name = 's/") or exit("\n\\ \u2028 é'
    call = as_python(Asked({name: 0.0}, "propagated", {name: (A,)}), k=10)
    assert Bench(call).given["edits"] == [SupernodeEdit.nodes([A], name=name[2:], factor=0)]


def test_linked_sliders_that_are_not_named_follow_the_one_that_is() -> None:
    assert checked_factors({A: 2}, [A, B, C], [[B, A]]) == {A: 2, B: 2, C: 1}
    assert checked_factors({A: 2, B: 0}, [A, B, C], [[B, A]]) == {A: 2, B: 0, C: 1}, "what is said stands"
    assert list(checked_factors({C: 2}, [A, B, C], [])) == [A, B, C], "in the order of the sliders"


def test_links_that_share_a_slider_become_one() -> None:
    assert checked_links([(A, B), [C, B]], [A, B, C]) == [[A, B, C]]
    assert checked_links([], [A]) == []


@pytest.mark.parametrize(
    ("links", "message"),
    [([[A]], "at least two"), ([[A, A]], "at least two"), ([[A, "x"]], "no slider for x"), (A, "list of groups")],
)
def test_links_that_are_none_are_refused(links: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checked_links(links, [A, B])
