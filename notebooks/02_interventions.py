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
# # Interventions: a graph is a hypothesis
#
# An attribution graph says what a transcoder sees in a model. Here the model gets its say: features are changed in it,
# by themselves, in groups, at some positions, or while it writes; then the graph's predictions are tested, three claims
# are made, and the sceptic asks whether all of it is the model, or only the method.
#
# About four minutes on two cores. What follows was computed on this machine, with the models' weights in the cache;
# `docs/interventions.md`, `docs/claims.md` and `docs/scrutiny.md` say how each number is made.

# %%
import os
import tempfile

import pandas as pd

import workbench as wb

# Claims of this notebook alone; elsewhere leave this out, and they gather in claims.parquet.
os.environ["WORKBENCH_CLAIMS"] = os.path.join(tempfile.mkdtemp(), "claims.parquet")
for name in ("smollm2-135m-instruct", "gemma-3-270m"):
    wb.fetch(name)
bench = wb.open("smollm2-135m-instruct")

# %%
whole = bench.attribute("When Mary and John went to the store, John gave a drink to")
graph = whole.prune()
graph = graph.with_supernodes(bench.suggest_supernodes(graph))
explorer = bench.explore(graph)
explorer

# %% [markdown]
# ## One feature
#
# The feature with the strongest edge to " Mary" at the last token, taken away. Nothing is held: the MLPs above see the
# change and may answer to it.

# %%
mary = "l/5099/14"
features = set(graph.nodes.query("kind == 'feature' and position == 14")["node_id"])
pushing = graph.edges[(graph.edges["target"] == mary) & graph.edges["source"].isin(features)]
pushing = pushing.nlargest(6, "weight")["source"].astype(str).tolist()
first = pushing[0]
ablated = bench.intervene(graph, [wb.Edit.node(first, factor=0)])
ablated

# %%
ablated.plot("tokens")

# %% [markdown]
# That feature stands in the last layer, with nothing above it. An early one moves others: activations before and after,
# the most changed first.

# %%
early = graph.nodes.query("kind == 'feature' and layer < 20").nlargest(1, "influence")["node_id"].iloc[0]
bench.intervene(graph, [wb.Edit.node(early, factor=0)]).features.head(6).round(3)

# %% [markdown]
# ## Every kind of edit
#
# One of `factor`, `value` and `add`; one position, a slice, or everywhere; a node, several, or a supernode.

# %%
layer, feature = (int(part) for part in first.split("/")[1:3])
members = graph.nodes[graph.nodes["supernode"] != ""].groupby("supernode", observed=True)["influence"].sum()
group = members.idxmax()
edits = {
    "half of it": [wb.Edit.node(first, factor=0.5)],
    "turned round": [wb.Edit.node(first, factor=-1)],
    "to 5": [wb.Edit(layer, feature, -1, value=5)],
    "5 more": [wb.Edit(layer, feature, -1, add=5)],
    "5 more from position 11 on": [wb.Edit(layer, feature, slice(11, None), add=5)],
    "off everywhere": [wb.Edit.everywhere(layer, feature, factor=0)],
    "off everywhere, but 5 at the end": [
        wb.Edit.everywhere(layer, feature, factor=0),
        wb.Edit(layer, feature, -1, value=5),
    ],
    f"supernode {group!r} off": [wb.SupernodeEdit.of(graph, group, factor=0)],
    f"supernode {group!r} turned round": [wb.SupernodeEdit.of(graph, group, factor=-1)],
}


def told(result):
    """The probability of " Mary", the most probable token, and how far the distribution moved."""
    most = result.tokens.nlargest(1, "after").iloc[0]
    probability = float(result.probabilities[5099])
    return {"p(Mary)": probability, "most probable": most["token"], "KL": result.kl}


clean = {"p(Mary)": float(ablated.clean.probabilities[5099]), "most probable": " Mary", "KL": 0.0}
pd.DataFrame({"nothing": clean} | {name: told(bench.intervene(graph, edit)) for name, edit in edits.items()}).T

# %% [markdown]
# ## Three modes, and attention held
#
# `direct` lets the graph's own edges act and nothing else. `constrained` holds the MLPs up to a layer and shows what
# follows above. `propagated` holds nothing. Where `direct` and `propagated` differ, layers in between have answered;
# where `propagated` changes when attention is held, patterns have moved.

# %%
modes = {
    "direct": {"mode": "direct"},
    "constrained until 20": {"mode": "constrained", "until": 20},
    "propagated": {},
    "propagated, attention held": {"freeze_attention": True},
}
print(f"{early} taken away:")
pd.DataFrame(
    {name: told(bench.intervene(graph, [wb.Edit.node(early, factor=0)], **mode)) for name, mode in modes.items()}
).T

# %%
bench.intervene(graph, edits["off everywhere"]).plot("divergence")

# %% [markdown]
# ## Sliders
#
# The same by hand: nodes and a whole supernode, ×(−1), links, a matched random feature at the same strength, a curve of
# dose and response, undo.

# %%
sliders = bench.sliders(graph, nodes=pushing[:3], supernodes=[group])
sliders.values = {pushing[0]: 0}
sliders

# %% [markdown]
# **The sceptic:** *any* feature as strong as these might do that. The graph's predictions, put to the test: its most
# influential features are ablated one by one, and beside each a matched feature, active at the same place and about as
# strongly.

# %%
test = bench.validate(graph, k=12, n_supernodes=2, n_controls=8)
test.figures.round(2)

# %%
test.plot()

# %% [markdown]
# Where `value` is not above `control`, the graph has predicted nothing about these features. "Circuit Tracing" reports
# what stands under `paper`, for a far larger transcoder.
#
# ## Three claims
#
# The graph says that three late features push " Mary", and that a fourth, `f/28/1023/14`, does too. Each sentence gets a
# test, a control and a verdict; p-values are corrected for the number of claims in this notebook.

# %%
three = ["f/29/83/14", "f/28/654/14", "f/28/14/14"]


def claim(statement, nodes, metric):
    """Claim that a metric falls when some features are taken away; beside up to 80 sets of matched features."""
    return bench.claim(
        statement,
        edits=[wb.Edit.node(node, factor=0) for node in nodes],
        metric=metric,
        expect="decrease",
        over=[whole],
        n=80,
        notebook="02_interventions",
    )


mary_falls = claim("Without the three features Mary is less probable", three, wb.Probability(" Mary"))
mary_falls

# %%
mary_falls.plot()

# %%
claim("Without f/28/1023/14 Mary is less probable", ["f/28/1023/14"], wb.Probability(" Mary"))

# %% [markdown]
# **The sceptic:** perhaps the three do not speak for Mary but for any name. Then " John" falls as much:

# %%
claim("Without the three features Mary loses to John", three, wb.LogitDifference(" Mary", " John"))

# %%
wb.claims()[["statement", "effect", "control_effect", "n_controls", "p_corrected", "verdict"]].round(3)

# %% [markdown]
# The first is supported. The second is refuted, and stays in the table: the edge is in the graph, and the model does not
# follow it. The third is inconclusive, so that the first says less than it seemed to: what the three features do is not
# shown to be about *which* name it is.
#
# One prompt has no interval. `over` takes several; then the verdict asks whether another set of prompts
# would have said the same.
#
# ## The sceptic's report
#
# One page on this graph: errors along the paths, what a shuffled CLT would explain, other seeds and sparsities, what the
# model shows without any transcoder, what frozen attention hides. Variants are trained by one command, `workbench
# variants smollm2-135m-instruct --model smollm2-135m-instruct`, in twenty minutes on two cores; without them the report
# says so. The probe gets other names and places, half of the prompts with the first of two names as the giver.

# %%
names = ["Tom", "Anna", "Paul", "Lucy", "Mark", "Jane", "Peter", "Sarah"]
pairs = [(one, other) for at, one in enumerate(names) for other in (names[(at + 3) % 8], names[(at + 5) % 8])]
given = "When {} and {} went to the park, {} gave a drink to"
page = bench.scrutinise(
    graph,
    corrupted="When Mary and John went to the store, Mary gave a drink to",
    probe={
        "the second gives": [given.format(one, other, other) for one, other in pairs],
        "the first gives": [given.format(one, other, one) for one, other in pairs],
    },
    k=10,
    n_cells=60,
)
page

# %%
page.tables["probe"].plot(
    x="layer",
    y=["accuracy", "control"],
    backend="plotly",
    title="From which layer on the residual stream says who gives (linear probe, prompts left out of the fit)",
)

# %%
page.tables["patching"].nlargest(5, "recovered").round(2)

# %% [markdown]
# ## While it writes
#
# The steered model and the clean one, side by side. An edit without an end follows the new tokens; the ramp lets it grow
# over five of them. The clean model is run on the steered text as well, so each token shows how much the edit, and not
# the text so far, has brought it about.

# %%
del explorer, sliders, bench
bench = wb.open("gemma-3-270m")
week = bench.attribute("There are seven days in a").prune()
answer = week.nodes.query("kind == 'logit'").nlargest(1, "probability").iloc[0]
last = set(week.nodes.query("kind == 'feature' and position == @answer.position")["node_id"])
edges = week.edges[(week.edges["target"] == answer["node_id"]) & week.edges["source"].isin(last)]
strongest = edges.nlargest(4, "weight")["source"].astype(str).tolist()
week.select(strongest)[["node_id", "layer", "activation", "influence"]]

# %%
bench.intervene(week, [wb.Edit.node(node, factor=0) for node in strongest]).plot("tokens")

# %%
steer = [
    wb.Edit.everywhere(int(node.split("/")[1]), int(node.split("/")[2]), add=float(row.activation), ramp=wb.Ramp(5))
    for node, row in zip(strongest, week.select(strongest).itertuples())
]
view = bench.steer("My favourite season is", steer, max_new_tokens=14)
view

# %%
made = bench.generate("My favourite season is", steer, max_new_tokens=14)
made.side_by_side.round(2)

# %% [markdown]
# **The sceptic:** text that changes shows that the edit did something, not what. The `kl` of each token says where the
# clean model would have gone on otherwise after the same text:

# %%
made.tokens.query("run == 'steered'")[["token", "probability", "clean_probability", "kl"]].round(3)

# %% [markdown]
# And the report on this graph, of the other model:

# %%
frames = [
    "{0} is the first part of the",
    "From {0} to {1} is one",
    "{1} ends the",
    "{2} make a",
    "{2}: that is a whole",
    "She came back after {2}, that is, after a",
    "Between {0} and {1} lies a",
    "It takes {2}, so it takes a",
]
bench.scrutinise(
    week,
    corrupted="There are twelve months in a",
    probe={
        "a week": [frame.format("Monday", "Sunday", "seven days") for frame in frames],
        "a year": [frame.format("January", "December", "twelve months") for frame in frames],
    },
    k=8,
    n_cells=40,
)
