"""What an evaluation found, as data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from workbench.evaluation.bootstrap import Interval


class PromptScores(BaseModel):
    """Scores of one prompt's unpruned attribution graph.

    Source: "Circuit Tracing" (2025), "Measuring the quality of attribution graphs".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    n_tokens: int = Field(description="the start token included")
    n_features: int = Field(description="feature nodes of the graph")
    left_out_influence: float = Field(
        description="estimated share of the influence of the features that a cap left out"
    )
    replacement_score: float = Field(description="share of end-to-end influence that begins at tokens, not at errors")
    completeness_score: float = Field(description="influence-weighted share of the nodes' input that is no error")
    error_share: float = Field(
        description="mean over feature and logit nodes of the share of their input that is error"
    )
    average_path_length: float | None = Field(description="mean number of edges from tokens to logits; None without")
    row_sum_error: float = Field(description="largest relative mismatch of a row's sum with its target")


class Difference(BaseModel):
    """A CLT's figure minus a baseline's, measured on the same rows or prompts.

    Attributes:
        interval: 95 % bootstrap interval of the difference; None for fewer than two rows or prompts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    difference: float
    interval: Interval | None


class Quality(BaseModel):
    """How well one replacement of all MLPs does; the same figures for a CLT and for its baselines.

    The graph scores are means over prompts, and None when no prompts were given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fvu: float = Field(description="fraction of variance unexplained, mean over layers, position 0 excluded")
    fvu_by_layer: list[float]
    fvu_typical: float = Field(description="the same without the few tokens of outlier norm")
    fvu_typical_by_layer: list[float]
    l0: float = Field(description="active features a token, all layers together")
    l0_by_layer: list[float]
    dead_by_layer: list[float] | None
    dead_fraction: float | None = Field(description="features never active on the held-out tokens; None without any")
    dense_fraction: float | None = Field(description="features active on more than 10 % of the held-out tokens")
    kl: float = Field(description="mean KL(model ‖ replacement model), nats, all MLPs replaced, position 0 exact")
    delta_ce: float = Field(description="cross-entropy of the replacement model minus that of the model, nats")
    top1_agreement: float = Field(description="fraction of positions where both predict the same token")
    n_prompts: int = Field(default=0, description="prompts behind the graph scores")
    replacement_score: float | None = None
    completeness_score: float | None = None
    error_share: float | None = None
    average_path_length: float | None = None
    row_sum_error: float | None = Field(default=None, description="the largest of any prompt")
    intervals: dict[str, Interval] = Field(
        default_factory=dict, description="95 % bootstrap intervals: of graph scores over prompts, of others over rows"
    )


class Baseline(Quality):
    """The quality of a baseline, and how far the CLT is from it on the same rows and prompts."""

    differences: dict[str, Difference] = Field(default_factory=dict, description="the CLT minus this baseline")


class CLTReport(Quality):
    """The quality of a CLT on held-out text and on prompts, beside that of its baselines.

    ``baselines`` holds ``mean_ablation`` (every MLP output replaced by its layer's held-out mean),
    ``zero_ablation``, ``linear_skip`` (ridge regression from what the CLT reads to what it writes),
    ``shuffled`` (the CLT with its decoder rows permuted within each layer) and, for a CLT with a skip,
    ``skip_alone`` (that skip and the best constant, no features).
    """

    clt: str
    model: str
    fingerprint: str
    n_features: int
    window: int
    skip: bool
    n_tokens: int = Field(description="held-out tokens counted, without those at position 0")
    n_rows: int = Field(description="rows of text that they stand in")
    n_outliers: int = Field(description="of these, tokens whose norm is 16 times the median at some layer")
    ce: float = Field(description="cross-entropy of the model itself on the held-out tokens, nats")
    seconds: float = Field(description="wall time of the evaluation")
    by_row: dict[str, list[float]] = Field(description="KL, ΔCE and top-1 agreement of every row of held-out text")
    by_prompt: list[PromptScores]
    baselines: dict[str, Baseline]
