# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart: from a prompt to a circuit, and a test of it
#
# Ten cells: open a small language model, draw the attribution graph of one prompt, take nodes from the picture into
# pandas, and change what the model says by dragging a slider. Everything runs on this machine; once the weights are
# here it needs no network.
#
# `make lab` sets up an environment in which everything is installed. In another one, run `%pip install -e ..` first.

# %%
import workbench as wb

wb.fetch("smollm2-135m-instruct");  # brings the weights the first time, does nothing afterwards

# %% [markdown]
# A session holds the model (a TransformerLens bridge) and its cross-layer transcoder (CLT), whose sparse features stand
# in for the model's MLPs.

# %%
bench = wb.open("smollm2-135m-instruct")

# %% [markdown]
# ## The graph
#
# Two names, and one of them comes back: the model should say the other one. `attribute` computes the direct effect of
# every active feature, token and error on every later feature and on the output. On two cores this takes about ten
# seconds.
#
# The scores say how far to trust the picture. *replacement*: the share of the influence on the output that begins at
# tokens, and not at errors, which stand for what the CLT missed. *row_sum_error*: how exactly the parts of each node add
# up to what the model computed.

# %%
graph = bench.attribute("When Mary and John went to the store, John gave a drink to")
graph.scores()

# %%
wb.plots.token_probabilities(graph)

# %% [markdown]
# Circles are features, each at a token (column) and a layer (row); diamonds are the tokens, squares the errors.
# **Hover** to see the nearest node and its edges, **click** to list what feeds it and what it feeds, **Shift-drag** to
# select many, **p** to pin. The slider above the graph hides the less influential nodes.

# %%
explorer = bench.explore(graph)
explorer

# %% [markdown]
# ## The selection is a table
#
# Whatever you click is in `explorer.selected`, and what you assign to it is shown in the graph. Three nodes to begin
# with: at the last token the most influential feature, which promotes women's names; the feature of the second "John";
# and a feature of the same layer and token as the first, for comparison.

# %%
explorer.selected = ["f/28/18/14", "f/0/56/10", "f/28/2/14"]
explorer.selected[["node_id", "token", "label", "activation", "influence"]]

# %% [markdown]
# ## Change it and see
#
# The sliders run the real model with these features scaled: 1 leaves a feature as it is, 0 takes it away, a negative
# factor turns it round. *propagated* shows what the model does; *direct* lets only the graph's own edges act.

# %%
sliders = bench.sliders(graph, nodes=explorer.selected)
sliders

# %% [markdown]
# Sliders can be moved from Python, too. Taking the names' feature away:

# %%
sliders.values = {"f/28/18/14": 0}
sliders.wait()
sliders.tokens.head().round(3)

# %% [markdown]
# ## Is it the model, or only the method?
#
# Perhaps taking away any strong feature of that layer does this. The control: the same for the seven other features
# that fire most strongly at the same layer and token. If " Mary" fell as far without them, the names' feature would be
# nothing special.

# %%
at_the_end = graph.nodes.query("kind == 'feature' and layer == 28 and position == 14")
control = at_the_end.nlargest(8, "activation")[["node_id", "activation", "influence"]]
control["p(Mary) without it"] = [
    bench.intervene(graph, [wb.Edit.node(node, factor=0)]).tokens.set_index("token").loc[" Mary", "after"]
    for node in control["node_id"]
]
control.round(3)

# %% [markdown]
# One prompt and one position are a start, not a finding. Where in the model does the influence come from? The map shows
# it for all features together. `wb.to_html(graph, "graph.html")` writes the graph to a file that you can send to
# somebody.

# %%
wb.plots.influence_map(graph)
