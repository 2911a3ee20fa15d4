"""Structure of the whole model: what kinds of features its layers have, how they smear, where they gather.

Three questions, each with what would be seen if there were nothing to see:

- Which share of a layer's features are input-like, abstract or output-like? (:func:`kinds_by_layer`)
- How far does a feature smear over positions? The mean length of its runs of consecutive active positions, against the
  mean length if the same number of active positions stood in random order within each row. Of k active among N
  positions in random order, k·(N − k + 1)/N runs are expected (Wald & Wolfowitz, 1940).
- Do more features fire at punctuation, at newlines and right after the start token than elsewhere? Such tokens also
  leave the model more or less certain of what comes next, so they are compared with words in the middle of sentences at
  equal entropy of the next token: within bins of entropy, weighted as the tokens in question are spread. A random fifth
  of the mid-sentence tokens, treated as a class of its own, is the control.
"""

from workbench.features.structure.count import structure
from workbench.features.structure.kinds import KINDS, kinds_by_layer
from workbench.features.structure.result import CLASSES, Structure

__all__ = ["CLASSES", "KINDS", "Structure", "kinds_by_layer", "structure"]
