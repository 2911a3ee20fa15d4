"""The sceptic's report on a graph: is this the model, or only the method?"""

from workbench.evaluation.scrutiny.result import Scrutiny
from workbench.evaluation.scrutiny.scrutinise import scrutinise

__all__ = ["Scrutiny", "scrutinise"]
