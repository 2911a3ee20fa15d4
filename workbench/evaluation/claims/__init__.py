"""Claims: statements about the model with their test, their matched control and their result."""

from workbench.evaluation.claims.claim import Claim
from workbench.evaluation.claims.metrics import LogitDifference, Probability
from workbench.evaluation.claims.run import run_claim
from workbench.evaluation.claims.table import claims

__all__ = ["Claim", "LogitDifference", "Probability", "claims", "run_claim"]
