"""A CLT that does not fit the model is refused in one sentence, before anything is run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import attribute
from workbench.clt import CLT
from workbench.errors import CLTError


def with_config(clt: CLT, **changes: Any) -> CLT:
    return replace(clt, config=clt.config.model_copy(update=changes))


@pytest.mark.parametrize(
    ("architecture", "changes", "message"),
    [
        ("llama", {"read_hook": "blocks.{layer}.hook_nowhere"}, "reads at .* but 'tiny-llama' has no 'blocks.0.hook_n"),
        ("llama", {"write_hook": "blocks.{layer}.hook_nowhere"}, "writes at .* has no 'blocks.0.hook_nowhere'"),
        ("llama", {"write_hook": "blocks.{leyer}.hook_mlp_out"}, r"has no 'blocks.\{leyer\}.hook_mlp_out'"),
        ("llama", {"write_hook": "blocks.0.hook_mlp_out"}, r"in every layer: write \{layer\}"),
        # Parallel blocks have no stream between attention and MLP.
        ("pythia", {"read_hook": "blocks.{layer}.hook_resid_mid"}, "'tiny-pythia' has no 'blocks.0.hook_resid_mid'"),
        ("llama", {"read_hook": "blocks.{layer}.attn.hook_q"}, "cannot trace back to the residual stream"),
        # Gemma normalises what the MLP computes before it joins the stream.
        ("gemma3", {"write_hook": "blocks.{layer}.mlp.hook_out"}, "use hook_mlp_out or ln2_post.hook_out"),
        ("llama", {"write_hook": "blocks.{layer}.hook_resid_post"}, "use hook_mlp_out or mlp.hook_out"),
        ("llama", {"n_layers": 2}, "2 layers × 16.* has 3 layers × 16: choose the CLT of this model"),
        ("llama", {"d_model": 8}, "3 layers × 8.* has 3 layers × 16"),
    ],
)
def test_a_clt_that_the_model_cannot_carry_is_explained(
    architecture: Architecture, changes: dict[str, Any], message: str
) -> None:
    model = tiny_model(architecture)
    with pytest.raises(CLTError, match=message):
        attribute(model, with_config(tiny_clt(model), **changes), tiny_tokens(), progress=False)


@pytest.mark.parametrize(
    ("architecture", "hook"),
    [("llama", "mlp.hook_out"), ("pythia", "mlp.hook_out"), ("gemma2", "ln2_post.hook_out")],
)
def test_other_names_of_the_point_where_an_mlp_joins_the_stream_give_the_same_graph(
    architecture: Architecture, hook: str
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model)
    expected = attribute(model, clt, tiny_tokens(), progress=False)
    graph = attribute(model, with_config(clt, write_hook=f"blocks.{{layer}}.{hook}"), tiny_tokens(), progress=False)
    assert graph.weights.equal(expected.weights)
