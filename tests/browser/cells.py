"""Cells that several of these notebooks begin with."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]

# A random Llama of three layers with a CLT: everything that the widgets show is real, and ready in a second.
TINY_BENCH = f"""
import os
import sys
sys.path.insert(0, {str(TESTS)!r})
import tempfile
import time
from dataclasses import replace

import torch
from browser.strange import with_strange_text
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.errors import InterventionError

cache = tempfile.TemporaryDirectory()
os.environ["WORKBENCH_CACHE"] = cache.name
model = tiny_model("llama", dtype=torch.float32)
bench = wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")
graph = bench.attribute(tiny_prompt(), progress=False)
features = graph.nodes[graph.nodes["kind"] == "feature"].nlargest(6, "influence")["node_id"].tolist()
"""
