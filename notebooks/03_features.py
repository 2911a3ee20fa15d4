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
# # What a feature means, and how sure one can be
#
# An attribution graph names features: layer 12, feature 311. This notebook asks what such a feature is: what it fires on,
# what it says, how well a few words describe it, and what firing together, arithmetic and the shape of the whole model
# add. It does so for both models that come with the workbench, and puts a control beside every finding.
#
# A note on time. The *atlas*, what is known of every feature, is built once from a text: `workbench atlas` does it
# for any CLT, yours included. Both shipped CLTs come with a compact atlas, which is what this notebook reads; left alone,
# `bench.atlas` would also start to build the full one in the background.

# %%
import os

os.environ["WORKBENCH_ATLAS_BUILD"] = "0"  # read the compact atlas, build nothing

import pandas as pd

import workbench as wb

wb.fetch("smollm2-135m-instruct")
wb.fetch("gemma-3-270m", accept_licence=True)  # this accepts the terms of Gemma, see README.md
smollm, gemma = wb.open("smollm2-135m-instruct"), wb.open("gemma-3-270m")

# %% [markdown]
# ## Which features fire on a text
#
# The strongest activation at each feature's best token, as a share of the strongest that the atlas has seen of it:
# activations of different features are on scales of their own.

# %%
text = "The capital of Texas is"
firing = smollm.atlas.find_text(text)
known = firing[firing["relative"].notna() & firing["label"].ne("")]
strongest = known.sort_values("relative", ascending=False).drop_duplicates(["layer", "feature"])
strongest.head(12).round(2)

# %% [markdown]
# The same text, coloured by three of them. Click a name in the strip's legend for another colouring; `strip.selected` is
# the token that was clicked.

# %%
three = strongest.head(3)
series = [smollm.atlas.activations(text, row.layer, row.feature) for row in three.itertuples()]
strip = wb.TokenStrip(
    series[0]["tokens"],
    [each["activations"] for each in series],
    names=[f"{row.layer}/{row.feature} {row.label}" for row in three.itertuples()],
    shown=[0, 1, 2],
)
strip

# %% [markdown]
# ## One feature's card
#
# Everything that is known of the first of them. The label is a rule that was chosen on one part of the text and *scored on
# another*: balanced accuracy, where ½ is chance and 1 a rule without exception. Write a text of your own into the field
# below the examples, and the activations are computed as you type.

# %%
first = three.iloc[0]
smollm.feature_card(int(first["layer"]), int(first["feature"]))

# %% [markdown]
# ## How far can labels be trusted?
#
# A label that nobody tests is a story. Here each is a prediction of *where* the feature fires, tested on held-out text; and
# where no rule predicts it, the atlas says so instead of inventing one: those features are called abstract, which means
# no more than that no rule on tokens, neighbours and positions reaches 0.7.

# %%
benches = {"smollm2-135m-instruct": smollm, "gemma-3-270m": gemma}
tables = {name: bench.atlas.table() for name, bench in benches.items()}
summary = {
    name: {
        **table["kind"].value_counts(normalize=True).round(3).to_dict(),
        "median score of a label": table["label_score"].median().round(3),
        "share scoring under 0.7": (table["label_score"].dropna() < 0.7).mean().round(3),
        "features": len(table),
    }
    for name, table in tables.items()
}
pd.DataFrame(summary)

# %%
import plotly.express as px

scores = pd.concat(table.assign(model=name) for name, table in tables.items()).dropna(subset="label_score")
figure = px.histogram(
    scores,
    x="label_score",
    color="kind",
    facet_col="model",
    nbins=40,
    height=360,
    labels={"label_score": "label score on held-out text", "count": "features"},
)
figure.update_yaxes(matches=None, showticklabels=True)

# %% [markdown]
# The best and the worst of the labels that were accepted. A bad score means that the rule looked right on the text on
# which it was chosen and was wrong on other text; `label_precision` and `label_recall` say in which way.

# %%
columns = ["layer", "feature", "label", "label_score", "label_precision", "label_recall", "density"]
scored = tables["smollm2-135m-instruct"].dropna(subset="label_score").sort_values("label_score", ascending=False)
pd.concat([scored.head(5), scored.tail(5)])[columns].round(4)

# %% [markdown]
# ## Finding features
#
# By what they promote: decoders along the unembedding of a token. Among tens of thousands of directions some lie near
# anything; how near, the same search for random directions tells.

# %%
import torch

d_model = smollm.clt.config.d_model
by_chance = [smollm.atlas.find_direction(torch.randn(d_model), k=1)["cosine"].abs().item() for _ in range(5)]
print("the best for five random directions:", [round(cosine, 2) for cosine in by_chance])
smollm.atlas.find_direction(" not", k=6).round(3)

# %% [markdown]
# By behaviour: features that fire at the last token of all prompts of one kind and of none of the other. With few
# prompts chance finds some too, so the same search is done on the same prompts with the two kinds mixed: the numbers
# below are how many features each search finds.

# %%
from itertools import combinations

countries = ["The capital of France is", "The capital of Japan is", "The capital of Egypt is", "The capital of Peru is"]
colours = ["The colour of grass is", "The colour of snow is", "The colour of blood is", "The colour of coal is"]
found = gemma.atlas.find_contrast(fires_on=countries, not_on=colours, at=-1)
mixed = []
for half in combinations(range(4), 2):
    one = [countries[i] for i in half] + [colours[i] for i in half]
    other = [prompt for prompt in countries + colours if prompt not in one]
    mixed.append(len(gemma.atlas.find_contrast(fires_on=one, not_on=other, at=-1)))
print(f"capitals, not colours: {len(found)} features; kinds mixed: {mixed}")
found.head(6).round(3)

# %% [markdown]
# ## Arithmetic: one grid a feature
#
# All sums of two digits, each feature's activation at the last token as a picture. Each grid is compared with templates
# of the families that the addition study describes: one operand near a value, a sum that ends in a digit, an exact pair,
# and so on; the score is the share of its variance that the best template explains, noise subtracted. The control has
# the same cells in random order. It shows why features with one or two active cells are left out (`min_active`): those
# look like an exact pair in any order.

# %%
grids = gemma.operands(template="{a} + {b} = ", a=range(10), b=range(10), min_active=0.03, progress=False)
families = pd.DataFrame(
    {
        "measured": grids.families()["family"].value_counts(),
        "shuffled": grids.shuffled().families()["family"].value_counts(),
    }
)
families.fillna(0).astype(int)

# %%
wb.OperandGrid(grids, sort="score")

# %% [markdown]
# What the grids show is that features carry the operands. Whether the model adds with them is another question, and this
# one has a sobering answer: of how many sums is the model's most probable next token the first token of the right
# answer? A model that always says "1" has the control's share: nearly half of these sums begin with it.

# %%
from workbench.models import run_decoder, tokenize, unembed


@torch.no_grad()
def adds(bench):
    """Return the share of one-digit sums whose first token the model finds most probable."""
    right = 0
    for a in range(10):
        rows = torch.stack([tokenize(bench.loaded, f"{a} + {b} = ") for b in range(10)])
        said = unembed(bench.loaded, run_decoder(bench.loaded, rows, [])[:, -1]).argmax(-1)
        right += sum(bench.tokenizer.decode(token) == str(a + b)[:1] for b, token in enumerate(said))
    return right / 100


control = sum(str(a + b)[0] == "1" for a in range(10) for b in range(10)) / 100
pd.Series({**{name: adds(bench) for name, bench in benches.items()}, "always “1”": control}, name="share")

# %% [markdown]
# ## Features that fire together
#
# Clusters over a set of prompts: here questions of five kinds. Stability is how well a cluster is found again when prompts
# are drawn anew; the control permutes each feature's prompts, so that nothing belongs together any more.

# %%
kinds = {
    "capital": "The capital of {} is",
    "language": "The language that people speak in {} is",
    "opposite": 'The opposite of "{}" is',
    "plural": "One {}, two",
    "colour": "The colour of {} is",
}
words = {
    "capital": ["France", "Japan", "Egypt", "Peru", "Norway"],
    "language": ["Germany", "Brazil", "Greece", "Korea", "Poland"],
    "opposite": ["hot", "small", "early", "rich", "loud"],
    "plural": ["cat", "house", "tree", "car", "bird"],
    "colour": ["grass", "snow", "blood", "coal", "the sky"],
}
prompts = [kinds[kind].format(word) for kind in kinds for word in words[kind]]
clusters = gemma.clusters(prompts, progress=False)
clusters.table().head(10).round(2)

# %%
clusters.control()

# %%
wb.plots.cluster_map(clusters)

# %% [markdown]
# Do the clusters know the kinds of questions? Of the features of each large cluster, the share that fire on the prompts
# of each kind.

# %%
by_kind = clusters.prompt_table().iloc[:, :8].copy()
by_kind.index = pd.Index([kind for kind in kinds for _ in words[kind]], name="kind")
by_kind.groupby("kind", sort=False).mean().round(2)

# %% [markdown]
# ## The whole model
#
# Which kinds of features there are at which layers, and where they gather. A feature is input-like where a rule on what
# stands there predicts it, output-like where a rule on the next token does.

# %%
structures = {name: bench.structure(table=tables[name], n_rows=40, progress=False) for name, bench in benches.items()}
wb.plots.feature_kinds(structures["smollm2-135m-instruct"].kinds())

# %%
wb.plots.feature_kinds(structures["gemma-3-270m"].kinds())

# %% [markdown]
# How far features smear over neighbouring positions, and how many more fire at punctuation, at newlines and after
# the start than in the middle of a sentence at equal entropy of the next token. The line of a random fifth of the
# mid-sentence tokens is the control: it should stand at 1.

# %%
wb.plots.smear(structures["smollm2-135m-instruct"])

# %%
wb.plots.token_classes(structures["smollm2-135m-instruct"])

# %% [markdown]
# ## Is it the model, or only the method?
#
# Three things to keep in mind. A label predicts where a feature fires; it does not say what the model uses it for: that
# takes an intervention, see the quickstart. Features are those of *this* CLT: another seed gives others, and what the
# CLT misses (its error nodes) has no card at all. And a rule can be right for a reason that it does not name. So one last
# control, of the labels themselves: give every feature the label of another one of the same layer, and score it on the
# same held-out text. If wrong labels scored like the real ones, the scores would mean nothing.

# %%
figure = px.histogram(
    scores.melt(id_vars="model", value_vars=["label_score", "label_control"], var_name="label", value_name="score"),
    x="score",
    color="label",
    facet_col="model",
    nbins=40,
    barmode="overlay",
    height=360,
    labels={"score": "score on held-out text"},
)
figure.for_each_trace(lambda t: t.update(name={"label_score": "its own", "label_control": "another feature's"}[t.name]))
figure.update_yaxes(matches=None, showticklabels=True)

# %%
scores.groupby("model")[["label_score", "label_control"]].describe()[
    [(label, part) for label in ("label_score", "label_control") for part in ("25%", "50%", "75%")]
].round(3)
