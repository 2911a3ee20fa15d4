"""Generation under edits: the model goes on with a text, clean and steered side by side."""

from workbench.interventions.generation.generate import Generating, generate
from workbench.interventions.generation.result import Alternative, Continuation, Generation, Token
from workbench.interventions.generation.sampling import Sampling

__all__ = ["Alternative", "Continuation", "Generating", "Generation", "Sampling", "Token", "generate"]
