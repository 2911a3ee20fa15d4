"""Clusters: features that fire together over a set of prompts.

A feature's profile is its strongest activation in each prompt. Two features are as similar as their profiles correlate;
groups come from average linkage, cut where the mean correlation between two groups falls below a threshold. Two
measurements say what to make of them:

- stability: the prompts are drawn again with replacement and everything is clustered anew; a cluster's stability is the
  mean over the draws of its largest Jaccard overlap with any cluster found there (Hennig, "Cluster-wise assessment of
  cluster stability", Computational Statistics & Data Analysis 52, 2007: above 0.75 stable, below 0.6 not to be
  trusted);
- the control: every feature's profile in another random order of the prompts. It has the same activations and nothing
  that belongs together; clusters that appear in it too are what chance gives with so few prompts.
"""

from workbench.features.clusters.find import cluster_features
from workbench.features.clusters.result import FeatureClusters

__all__ = ["FeatureClusters", "cluster_features"]
