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
# A dozen cells: open a small language model, draw the attribution graph of one prompt, take nodes from the picture into
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
# Whatever you click is in `explorer.selected`, and what you assign to it is shown in the graph. To begin with: the
# features of the last token, from layer 20 up, whose edges push " Mary" the most.

# %%
strongest = graph.edges.query("target == 'l/5099/14'").nlargest(40, "weight")["source"]
late = graph.nodes.query("kind == 'feature' and position == 14 and layer >= 20")
explorer.selected = [node for node in strongest if node in set(late["node_id"])][:4]
explorer.selected[["node_id", "token", "label", "activation", "influence"]]

# %% [markdown]
# ## Change it and see
#
# An edge is a hypothesis. The sliders run the real model with these features scaled: 1 leaves a feature as it is, 0
# takes it away, a negative factor turns it round. *propagated* shows what the model does; *direct* lets only the graph's
# own edges act.

# %%
sliders = bench.sliders(graph, nodes=explorer.selected)
sliders

# %% [markdown]
# Each of the four should push " Mary". Does it? What the graph predicts stands beside what the model does when the
# feature is taken away:

# %%
def p_mary(nodes, **mode):
    """The probability of " Mary" without some features."""
    tokens = bench.intervene(graph, [wb.Edit.node(node, factor=0) for node in nodes], **mode).tokens
    return tokens.set_index("token").loc[" Mary", "after"]


tested = explorer.selected[["node_id", "label"]].copy()
tested["predicted"] = [p_mary([node], mode="direct") for node in tested["node_id"]]
tested["measured"] = [p_mary([node]) for node in tested["node_id"]]
tested.round(2)

# %% [markdown]
# With all four, " Mary" stands at 0.80. Without any one of three of them it falls about as far as the graph says. The
# fourth, `f/28/1023/14`, is refuted: without it " Mary" *rises*, because the MLP of the layer above, which the graph
# holds fixed, answers. Sliders can be moved from Python, too. The three that hold, taken away together:

# %%
chosen = ["f/29/83/14", "f/28/654/14", "f/28/14/14"]
sliders.values = dict.fromkeys(chosen, 0)
sliders.wait()
sliders.tokens.head().round(3)

# %% [markdown]
# ## Is it the model, or only the method?
#
# Perhaps taking away any three features of these layers does this. The control: eight times three others of the same
# layers and the same token, drawn from those that are as active as the chosen ones.

# %%
at_the_end = graph.nodes.query("kind == 'feature' and position == 14").set_index("node_id")


def matched(seed):
    """One feature for each chosen one: of its layer, among the six whose activation is nearest to its own."""
    found = []
    for node in chosen:
        others = at_the_end[at_the_end["layer"] == at_the_end.loc[node, "layer"]].drop([*chosen, *found], errors="ignore")
        distance = (others["activation"] - at_the_end.loc[node, "activation"]).abs()
        found += distance.nsmallest(6).sample(1, random_state=seed).index.tolist()
    return found


print(f"without the chosen three: {p_mary(chosen):.2f}")
print("without three others:    ", *(f"{p_mary(matched(seed)):.2f}" for seed in range(8)))

# %% [markdown]
# One prompt and one position are a start, not a finding. Where in the model does the influence come from? The map shows
# it for all features together. `wb.to_html(graph, "graph.html")` writes the graph to a file that you can send to
# somebody.

# %%
wb.plots.influence_map(graph)
