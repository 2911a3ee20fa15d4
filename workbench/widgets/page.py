"""One widget as one file: a page that opens from disk, without a kernel and without a network."""

from __future__ import annotations

import html
import json
from typing import Any

from ipywidgets.embed import dependency_state, embed_data

from workbench.widgets.kit import Widget
from workbench.widgets.kit.base import bundle_text

# Of a widget's state only its own traits are for the page; the rest tells a notebook how to find the module.
_NOTEBOOKS_OWN = {"_esm", "_css", "_anywidget_id", "layout", "tabbable", "tooltip"}

# The page may run the scripts that stand in it and load nothing, from nowhere.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
html, body {{ margin: 0; background: Canvas; color: CanvasText; font-family: system-ui, sans-serif; }}
body {{ padding: 16px; }}
{css}
</style>
</head>
<body>
<div id="workbench-widget"></div>
<script type="application/json" id="workbench-page">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page(widget: Widget, *, title: str) -> str:
    """Return the page that shows a widget in its present state."""
    saved = embed_data(views=[widget], state=dependency_state([widget], drop_defaults=False))
    model: dict[str, Any] = saved["manager_state"]["state"][widget.model_id]
    data = {
        "esm": bundle_text(f"{widget.bundle}.js"),
        "state": {name: value for name, value in model["state"].items() if name not in _NOTEBOOKS_OWN},
        "buffers": [{"path": buffer["path"], "data": buffer["data"]} for buffer in model.get("buffers", ())],
    }
    return _PAGE.format(
        policy=_POLICY,
        title=html.escape(title),
        css=bundle_text(f"{widget.bundle}.css"),
        # "</script>" in a token would end the script; as an escape it is the same JSON.
        data=json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        script=bundle_text("page.js"),
    )
