"""Other trainers of transcoders, run by the Python of the virtual environments that they are installed in.

Their dependencies exclude those of this package, so each lives in a process and an environment of its own. The process
holds its transcoder and waits between its turns: so both can take turns, and what else the machine does meets both.
"""

from workbench.benchmarks.rivals.process import RIVALS, Rival, RivalProcess, python_of, start_rival

__all__ = ["RIVALS", "Rival", "RivalProcess", "python_of", "start_rival"]
