"""What a training run is: model, corpus, shape of the transcoder, optimiser, cache; read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from workbench.clt.config import CLTConfig
from workbench.clt.training.parameters import Form
from workbench.errors import ConfigError
from workbench.models.capture import READ_HOOK, WRITE_HOOK
from workbench.models.loaded import LoadedModel

# Keys that mean something with some values of another key only.
_ONLY_WITH: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    *(
        (key, "activation", ("jumprelu",))
        for key in ("sparsity", "sparsity_warmup", "saturation", "bandwidth", "pre_activation")
    ),
    *((key, "activation", ("topk", "batchtopk")) for key in ("k_anneal", "threshold_from")),
    *((key, "dead", ("resample",)) for key in ("resample_every", "resample_until")),
    *((key, "dead", ("auxk",)) for key in ("aux_k", "aux_coefficient")),
)


class TrainConfig(BaseModel):
    """A recipe. Every field but ``model`` has a default that trains a usable small transcoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="name of the language model")

    n_features: PositiveInt = Field(default=512, description="features a layer")
    window: PositiveInt = Field(default=2, description="layers that a feature writes to")
    skip: bool = False
    tied: bool = Field(default=False, description="one decoder row a feature, a number for each layer it writes to")
    activation: Literal["topk", "batchtopk", "jumprelu"] = Field(
        default="topk", description="how training chooses active features; the export is a JumpReLU in any case"
    )
    k: PositiveInt = Field(default=16, description="active features a token and layer")
    read_hook: str = READ_HOOK
    write_hook: str = WRITE_HOOK

    corpus: str = Field(default="bundled", description="a corpus specification, see workbench.corpus")
    tokens: PositiveInt = Field(default=200_000, description="unique tokens that are harvested and kept")
    held_out_tokens: PositiveInt = Field(default=8_192, description="tokens for thresholds and the final scores")
    epochs: PositiveInt = Field(default=5, description="passes over the harvested tokens")
    row_length: PositiveInt = Field(default=64, description="tokens of a corpus row, start token included")
    harvest_rows: PositiveInt = Field(default=32, description="corpus rows of one forward pass of the model")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of the model while harvesting; auto measures which is faster on this machine"
    )
    cache: Literal["int8", "bfloat16"] = Field(default="int8", description="how activations are kept on disk")
    stream: bool = Field(default=False, description="keep only a rolling buffer instead of every activation")
    buffer_tokens: PositiveInt = Field(default=65_536, description="tokens in the rolling buffer when streaming")
    outlier_factor: PositiveFloat = Field(
        default=16.0, description="tokens whose norm exceeds this multiple of the site's median are dropped"
    )

    batch_tokens: PositiveInt = Field(default=1_024, description="tokens of one optimiser step")
    lr: PositiveFloat = 3e-3
    lr_final: float = Field(default=0.05, ge=0, le=1, description="last learning rate as a share of lr")
    warmup: float = Field(default=0.05, ge=0, le=1, description="share of the steps that the learning rate rises")
    decay: float = Field(default=0.8, ge=0, le=1, description="share of the steps, the last, that it falls")
    k_start: PositiveFloat = Field(default=2.0, ge=1, description="k begins at this multiple")
    k_anneal: float = Field(default=0.25, ge=0, le=1, description="share of the steps until k is reached")
    threshold_from: float = Field(
        default=0.5, ge=0, le=1, description="share of the steps with top-k; then JumpReLU, as the transcoder is used"
    )
    sparsity: float = Field(default=0.03, ge=0, description="jumprelu: coefficient of the tanh penalty")
    sparsity_warmup: float = Field(default=1.0, ge=0, le=1, description="jumprelu: share of the steps that it rises")
    saturation: PositiveFloat = Field(default=4.0, description="jumprelu: c of tanh(c · decoder norm · activation)")
    bandwidth: PositiveFloat = Field(default=1.0, description="jumprelu: width of the kernel around a threshold")
    pre_activation: float = Field(default=1e-3, ge=0, description="jumprelu: coefficient of the loss on dead features")
    dead: Literal["resample", "auxk", "none"] = Field(default="resample", description="what is done for dead features")
    dead_after: PositiveInt = Field(default=50_000, description="tokens without firing that make a feature dead")
    resample_every: NonNegativeInt = Field(default=100, description="steps between resamplings of the dead; 0: never")
    resample_until: float = Field(default=0.4, ge=0, le=1, description="share of the steps with resampling")
    aux_k: PositiveInt = Field(default=64, description="auxk: dead features a token that reconstruct what is missing")
    aux_coefficient: PositiveFloat = Field(default=1 / 32, description="auxk: weight of their loss")
    kl_weight: NonNegativeFloat = Field(
        default=0.0, description="weight of the replacement model's KL beside the mean FVU; 0: no KL"
    )
    kl_from: float = Field(default=0.8, ge=0, le=1, description="share of the steps after which the KL counts")
    kl_rows: PositiveInt = Field(default=4, description="corpus rows of a step that the replacement model runs on")
    kl_positions: PositiveInt = Field(default=24, description="predictions of each such row, drawn anew, that count")
    init: Literal["neuron", "random"] = "neuron"
    init_tokens: PositiveInt = Field(default=4_096, description="tokens that the initialisation looks at")
    warm_start: Path | None = Field(default=None, description="folder of a transcoder to start from, of any window")
    seed: NonNegativeInt = 0
    parallel: Literal["data", "features"] = Field(
        default="data", description="what several processes share out: the tokens of a batch, or the features"
    )

    checkpoint_seconds: PositiveFloat = Field(default=120.0, description="at most this much work is lost")
    log_every: PositiveInt = Field(default=20, description="steps between lines of the metrics log")
    export: Literal["int8", "float32"] = "int8"

    @model_validator(mode="after")
    def _coherent(self) -> TrainConfig:
        if self.k > self.n_features:
            raise ValueError(f"k = {self.k} exceeds n_features = {self.n_features}")
        if self.kl_weight and self.kl_from < self.threshold_from and self.activation != "jumprelu":
            raise ValueError(
                f"kl_from = {self.kl_from} and threshold_from = {self.threshold_from} contradict each other: the "
                "replacement model needs thresholds, so kl_from must not be the smaller"
            )
        if self.kl_weight and self.parallel == "features":
            raise ValueError("kl_weight and parallel = 'features' contradict each other: the KL needs every feature")
        if self.row_length < 2:
            raise ValueError("row_length must be at least 2: the start token and one more")
        if self.batch_tokens > (self.buffer_tokens // 2 if self.stream else self.tokens):
            raise ValueError(f"batch_tokens = {self.batch_tokens} exceeds the tokens at hand")
        for key, needs, values in _ONLY_WITH:
            if getattr(self, key) != type(self).model_fields[key].default and getattr(self, needs) not in values:
                raise ValueError(
                    f"{key} = {getattr(self, key)} contradicts {needs} = {getattr(self, needs)}: "
                    f"it is for {' or '.join(values)}; drop one of the two"
                )
        if self.warm_start is not None and self.init == "random":
            raise ValueError(f"init = random contradicts warm_start = {self.warm_start}: drop one of the two")
        return self

    @property
    def form(self) -> Form:
        """What is trained of the transcoder."""
        return Form(tied=self.tied, thresholds=self.activation == "jumprelu")

    def n_parameters(self, config: CLTConfig) -> int:
        """Return how many numbers are trained for a transcoder of this shape; its export unties tied decoders."""
        return config.count_parameters(tied=self.tied)

    def clt_config(self, model: LoadedModel) -> CLTConfig:
        """Return the shape and origin of the transcoder that this recipe makes of a model."""
        return CLTConfig(
            model=self.model,
            fingerprint=model.fingerprint,
            n_layers=model.n_layers,
            d_model=model.d_model,
            n_features=self.n_features,
            window=min(self.window, model.n_layers),
            skip=self.skip,
            read_hook=self.read_hook,
            write_hook=self.write_hook,
            start_token_id=model.start_token_id,
        )


def load_train_config(path: Path | str) -> TrainConfig:
    """Read a recipe.

    Raises:
        ConfigError: the file is missing, no TOML, or holds an unknown or unsuitable value.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"Cannot read the recipe {path}: {error}; give a TOML file.") from error
    return recipe_from(values, f"The recipe {path}")


def recipe_from(values: Mapping[str, Any], what: str) -> TrainConfig:
    """Return the recipe with these values.

    Args:
        what: names the recipe in the message of an error, for instance "The recipe".

    Raises:
        ConfigError: a value is unknown, missing or unsuitable; the message names each.
    """
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        said = "; ".join(f"{field}: {message}" if field else message for field, message in wrong)
        raise ConfigError(f"{what} is not usable: {said}.") from error


def recorded_recipe(values: Any, what: str) -> TrainConfig:
    """Return the recipe that a run wrote down, perhaps in an older version.

    Fields that it lacks have their defaults. Fields that mean nothing beside its other fields are forgotten, because
    their defaults may have changed since.

    Raises:
        ConfigError: a field is unknown, as of a newer version, or unsuitable; the message names each.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} is no recipe: start again elsewhere.")
    unknown = sorted(values.keys() - TrainConfig.model_fields.keys())
    if unknown:
        raise ConfigError(
            f"{what} has fields that this version does not know ({', '.join(unknown)}): "
            "use the version that it was written by."
        )
    fields = TrainConfig.model_fields
    idle = {key for key, needs, allowed in _ONLY_WITH if values.get(needs, fields[needs].default) not in allowed}
    return recipe_from({key: value for key, value in values.items() if key not in idle}, what)
