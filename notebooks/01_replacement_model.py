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
# # The replacement model: train one in two minutes, and see what it misses
#
# An attribution graph explains a model through sparse features that stand in for its MLPs. Those features come from a
# cross-layer transcoder (CLT). This notebook trains a small one while you watch, puts it in the place of every MLP of
# the model, and measures what is lost. The same is done with the CLT that ships with the workbench, and with a control
# that has features but learned nothing.

# %%
import shutil

import pandas as pd

import workbench as wb

wb.fetch("smollm2-135m-instruct");  # brings the weights the first time, does nothing afterwards

# %% [markdown]
# ## Train
#
# Twenty thousand tokens, four times over: very little, so that it takes about two minutes on two cores. `wb.train` runs
# on a thread of its own; the monitor below the cell follows it, and the notebook stays usable. **Pause** holds the run
# after the step that it is at, **Stop and save** ends it so that `wb.train(..., resume=True)` can go on.
#
# FVU is the fraction of variance unexplained of the MLPs' outputs: 0 is perfect, and 1 is as good as replacing every
# MLP by its mean.

# %%
folder = "../runs/first"
shutil.rmtree(folder, ignore_errors=True)  # each execution of this cell trains anew

recipe = {
    "model": "smollm2-135m-instruct",
    "n_features": 256,  # a layer
    "window": 2,  # a feature writes to its own layer and to the next
    "k": 16,  # active features a token and layer
    "tokens": 20_000,
    "held_out_tokens": 4_096,
    "epochs": 4,
    "batch_tokens": 512,
    "resample_every": 30,
    "log_every": 5,
}
run = wb.train(recipe, out=folder)

# %% [markdown]
# Meanwhile the same kernel opens the model with the CLT that ships with it: 1,024 features a layer, trained on ten times
# as many tokens for an hour, in the second half on the replacement model's KL as well.

# %%
bench = wb.open("smollm2-135m-instruct")

# %% [markdown]
# `run.wait()` waits for the end and raises what went wrong, if anything did. `wb.TrainingMonitor.from_run(folder)` shows
# any run from its folder, also one that another process does.

# %%
run.wait()
small, shipped = run.clt, bench.clt
run.monitor.metrics.iloc[[0, -1]].round(3)

# %% [markdown]
# ## What it captures
#
# Text that no training saw, and three kinds of figures. *FVU* asks how well each layer's output is rebuilt from what the
# MLP really read. *KL* and *top-1* ask for more: every MLP is replaced at once, so each layer reads what the replaced
# layers below it wrote, and errors add up. The others are controls: *mean ablation* knows nothing of the tokens, and a
# *shuffled* CLT has features that are active as often and write as much, but each with the decoder of another one.

# %%
from workbench.corpus import resolve_corpus
from workbench.evaluation import evaluate_clt, held_out_tokens

tokens = held_out_tokens(bench.loaded, resolve_corpus("bundled", model=bench.loaded), n_tokens=2_048)
reports = {
    name: evaluate_clt(bench.loaded, clt, tokens=tokens, baselines=["mean_ablation", "shuffled"], name=name)
    for name, clt in {"two minutes": small, "shipped": shipped}.items()
}
measured = {
    "two minutes": reports["two minutes"],
    "two minutes, shuffled": reports["two minutes"].baselines["shuffled"],
    "shipped": reports["shipped"],
    "shipped, shuffled": reports["shipped"].baselines["shuffled"],
    "mean ablation": reports["shipped"].baselines["mean_ablation"],
}
figures = ["fvu", "l0", "kl", "delta_ce", "top1_agreement"]
rows = {name: {figure: getattr(quality, figure) for figure in figures} for name, quality in measured.items()}
pd.DataFrame.from_dict(rows, orient="index").round(3)

# %% [markdown]
# By layer. Where a curve is near 1, graphs of this CLT have little to say about that layer: what its MLP does there is
# in the error nodes.

# %%
import plotly.express as px

by_layer = pd.DataFrame({name: quality.fvu_by_layer for name, quality in measured.items()})
figure = px.line(by_layer, labels={"index": "layer", "value": "FVU", "variable": ""}, markers=True, height=380)
figure.update_yaxes(range=[0, 1.6])

# %% [markdown]
# ## Two prompts
#
# For each of fifty prompts: the next token that the model finds most probable, and the one that it finds with every MLP
# replaced. The start token keeps its own MLP outputs; no CLT is trained on them.

# %%
import torch

from workbench.evaluation import read_prompts, run_replacement
from workbench.evaluation.baselines import shuffled
from workbench.evaluation.prompts import EVALUATION_PROMPTS
from workbench.models import run_decoder, tokenize, unembed

clts = {"two minutes": small, "shipped": shipped, "shipped, shuffled": shuffled(shipped)}


@torch.no_grad()
def next_token(prompt, clt=None):
    """Return the probabilities of the next token, by the model or by its replacement model."""
    ids = tokenize(bench.loaded, prompt)[None]
    final = run_decoder(bench.loaded, ids, []) if clt is None else run_replacement(bench.loaded, clt, ids)
    return unembed(bench.loaded, final[0, -1]).softmax(-1)


def word(probabilities):
    return bench.tokenizer.decode(probabilities.argmax())


prompts = read_prompts(EVALUATION_PROMPTS)
said = pd.DataFrame({"prompt": prompts, "model": [word(next_token(prompt)) for prompt in prompts]})
for name, clt in clts.items():
    said[name] = [word(next_token(prompt, clt)) for prompt in prompts]
agrees = said[list(clts)].eq(said["model"], axis=0)
agrees.sum().rename("of 50 prompts: the same first token")

# %% [markdown]
# The first prompt on which the CLT of two minutes agrees with the model, and the first on which it does not. The rows are
# the model's five most probable tokens and what the replacement models make of them; the last column is each replacement
# model's own first choice.

# %%
def side_by_side(prompt):
    own = next_token(prompt)
    top = own.topk(5).indices
    table = {"model": own[top], **{name: next_token(prompt, clt)[top] for name, clt in clts.items()}}
    frame = pd.DataFrame({name: column.tolist() for name, column in table.items()}).T
    frame.columns = [repr(bench.tokenizer.decode(token)) for token in top]
    frame["first choice"] = [repr(word(own)), *(repr(word(next_token(prompt, clt))) for clt in clts.values())]
    return frame.round(3).rename_axis(prompt)


side_by_side(said["prompt"][agrees["two minutes"].idxmax()])

# %%
side_by_side(said["prompt"][(~agrees["two minutes"]).idxmax()])

# %% [markdown]
# ## Is it the model, or only the method?
#
# Two checks that could have refuted what stands above. First, the machinery: what a CLT misses is its *error*. With the
# errors added back, the replacement model must be the model again, for any CLT, be it the shuffled one. If it were not,
# the figures above would measure a defect of this code. So in a graph the errors stand as nodes beside the features, and
# nothing is hidden by leaving them out.

# %%
from workbench.models import capture_reads_and_writes


@torch.no_grad()
def errors_of(clt, ids):
    """Return what the CLT misses of every MLP's output on the model's own run."""
    config = clt.config
    hooks = {"read_hook": config.read_hook, "write_hook": config.write_hook}
    reads, writes = capture_reads_and_writes(bench.loaded, ids, **hooks)
    active = [clt.encode(layer, reads[layer]) for layer in range(clt.n_layers)]
    return torch.stack([writes[layer] - clt.decode(layer, active) for layer in range(clt.n_layers)])


ids = tokenize(bench.loaded, prompts[1])[None]
final = run_decoder(bench.loaded, ids, [])
checked = {}
for name, clt in clts.items():
    errors = errors_of(clt, ids)
    with_errors = run_replacement(bench.loaded, clt, ids, errors=errors)
    without = run_replacement(bench.loaded, clt, ids)
    checked[name] = {
        "distance with errors": float((with_errors - final).norm() / final.norm()),
        "distance without": float((without - final).norm() / final.norm()),
    }
pd.DataFrame.from_dict(checked, orient="index").map("{:.1e}".format)

# %% [markdown]
# Second, the features: if having features that fire and write were enough, the shuffled CLT would do as well. Its row in
# each table says how well it does. The difference to it is what was learned of the model; the distance that remains to
# zero FVU, zero KL and full agreement is what a graph of this CLT can say only through its error nodes. Two
# minutes of training give features good enough to look at, and a replacement model that is not yet this model: read its
# graphs as hypotheses, and test them on the real model with `bench.intervene`, as the quickstart does.
