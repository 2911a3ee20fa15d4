"""What an evaluation found, as data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GraphScores(BaseModel):
    """Scores of attribution graphs, each the mean over the prompts.

    Source: "Circuit Tracing" (2025), "Measuring the quality of attribution graphs".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    replacement_score: float = Field(description="share of end-to-end influence that begins at tokens, not at errors")
    completeness_score: float = Field(description="influence-weighted share of the nodes' input that is no error")
    error_share: float = Field(
        description="mean over feature and logit nodes of the share of their input that is error"
    )
    row_sum_error: float = Field(description="largest relative mismatch of a row's sum with its target, any prompt")


class Quality(BaseModel):
    """How well one replacement of all MLPs does; the same figures for a CLT and for its baselines.

    The graph scores are None when no prompts were given.
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
    kl: float = Field(description="mean KL(model ‖ replacement model), nats, all MLPs replaced, position 0 exact")
    delta_ce: float = Field(description="cross-entropy of the replacement model minus that of the model, nats")
    top1_agreement: float = Field(description="fraction of positions where both predict the same token")
    replacement_score: float | None = None
    completeness_score: float | None = None
    error_share: float | None = None
    row_sum_error: float | None = None


class CLTReport(Quality):
    """The quality of a CLT on held-out text and on prompts, beside that of its baselines.

    ``baselines`` holds ``mean_ablation`` (every MLP output replaced by its layer's held-out mean),
    ``zero_ablation``, ``shuffled`` (the CLT with its decoder rows permuted within each layer) and, for
    a CLT with a skip, ``skip_alone`` (the skip and the best constant, no features).
    """

    clt: str
    model: str
    fingerprint: str
    n_features: int
    window: int
    skip: bool
    n_tokens: int = Field(description="held-out tokens counted, without those at position 0")
    n_outliers: int = Field(description="of these, tokens whose norm is 16 times the median at some layer")
    ce: float = Field(description="cross-entropy of the model itself on the held-out tokens, nats")
    n_prompts: int = Field(description="prompts behind the graph scores")
    seconds: float = Field(description="wall time of the evaluation")
    baselines: dict[str, Quality]
