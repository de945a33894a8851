"""The overfitting monitor: reads a trial's curves, says when to stop and why.

- ``criteria``: every number the monitor decides by, and the presets.
- ``verdict``: what it concludes.
- ``plan``: what is known before epoch 1: warm-up, and the patience of each epoch.
- ``curves``: what is known so far: averages, lowest values, counters.
- ``observer``: the decision.
- ``reasons``: the decision in one sentence.
"""

from tunelab.training.monitor.criteria import PRESETS, Criteria
from tunelab.training.monitor.observer import Monitor, ScoreDirection, replay
from tunelab.training.monitor.verdict import Signal, Suspicion, Verdict

__all__ = [
    "PRESETS",
    "Criteria",
    "Monitor",
    "ScoreDirection",
    "Signal",
    "Suspicion",
    "Verdict",
    "replay",
]
