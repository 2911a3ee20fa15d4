"""What all widgets share."""

from __future__ import annotations

from workbench.widgets import TokenStrip
from workbench.widgets.kit.base import Widget


class Plain(Widget, bundle="token-strip"):
    """A widget with the styles of another one."""


class Dressed(Plain):
    """The same class after its styles have changed."""

    _css = Plain._css + " .wb { color: red }"


def test_a_page_can_hold_the_styles_of_two_versions_of_a_widget() -> None:
    plain, again, dressed = Plain(), Plain(), Dressed()
    Dressed.__name__ = "Plain"
    renamed = Dressed()
    assert plain.get_state()["_anywidget_id"] == again.get_state()["_anywidget_id"]
    assert plain.get_state()["_anywidget_id"] != renamed.get_state()["_anywidget_id"]
    assert dressed.get_state()["_anywidget_id"].startswith(f"{__name__}.Dressed.")


def test_the_name_of_the_class_comes_first() -> None:
    name = TokenStrip(["a"], [[1.0]]).get_state()["_anywidget_id"]
    assert name.startswith("workbench.widgets.token_strip.TokenStrip.")
