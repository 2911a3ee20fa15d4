"""Text that tokens, labels and prompts may hold and that widgets must show as text. Kernels import this module too."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from workbench.attribution import Graph

MARKUP = "<script>window.pwned=1</script>"
CLOSING = "</script><script>window.pwned=1</script>"
IMAGE = '<img src=x onerror="window.pwned=1">'
# As a reader sees it: what has no shape of its own is written out.
TOKENS = {
    "\n": "↵",
    " \t": "·⇥",
    "👩‍👧‍👦": "👩‍👧‍👦",
    "שלום": "שלום",
    "\ufffd\ufffd": "\ufffd\ufffd",
    MARKUP: MARKUP,
    "\"'&lt;": "\"'&lt;",
    "\u202egnp": "[U+202E]gnp",
    CLOSING: CLOSING,
    "": "∅",
}


def with_strange_text(graph: Graph) -> Graph:
    """Return a graph whose prompt, outputs and labels hold such text; every one of `TOKENS` is an output."""
    texts = list(TOKENS)
    nodes = graph.nodes.copy()
    is_logit = (nodes["kind"] == "logit").to_numpy()
    place = nodes["position"].where(~is_logit, is_logit.cumsum() - 1).to_numpy() % len(texts)
    nodes["token"] = pd.Categorical([texts[at] for at in place])
    nodes["label"] = nodes["label"].where(nodes["kind"] != "feature", IMAGE)
    tokens = tuple(texts[position % len(texts)] for position in range(len(graph.tokens)))
    return replace(graph, prompt="".join(tokens), tokens=tokens, nodes=nodes)
