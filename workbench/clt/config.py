"""What a cross-layer transcoder is, apart from its weights."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from workbench.models.capture import READ_HOOK, WRITE_HOOK


class CLTConfig(BaseModel):
    """Shape, hooks and origin of a transcoder; stored as ``config.json`` beside the weights.

    A feature of layer l writes to layers l … l + window − 1: ``window`` 1 is a per-layer
    transcoder, ``window`` = n_layers a full CLT. Hook names are templates over ``{layer}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="name of the language model")
    fingerprint: str = Field(default="", description="sha256 of the model; empty when the origin is unknown")
    n_layers: PositiveInt
    d_model: PositiveInt
    n_features: PositiveInt = Field(description="features a layer")
    window: PositiveInt = 1
    skip: bool = False
    read_hook: str = READ_HOOK
    write_hook: str = WRITE_HOOK
    start_token_id: int | None = None

    def targets(self, layer: int) -> range:
        """Return the layers that features of ``layer`` write to."""
        return range(layer, min(layer + self.window, self.n_layers))

    def sources(self, layer: int) -> range:
        """Return the layers whose features write to ``layer``."""
        return range(max(0, layer - self.window + 1), layer + 1)

    @property
    def n_parameters(self) -> int:
        """Number of weights, biases and thresholds."""
        return self.count_parameters(tied=False)

    def count_parameters(self, *, tied: bool) -> int:
        """Return the number of weights, biases and thresholds while training.

        Args:
            tied: a feature has one decoder row and a number for each layer that it writes to, not a row for each.
        """
        pairs = sum(len(self.targets(layer)) for layer in range(self.n_layers))
        rows = self.n_layers + (self.n_layers if tied else pairs)
        numbers = rows * self.d_model + (pairs if tied else 0)
        skip = self.n_layers * self.d_model**2 if self.skip else 0
        return numbers * self.n_features + skip + self.n_layers * (2 * self.n_features + self.d_model)
