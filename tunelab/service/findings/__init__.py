"""What a study has found, as facts computed from its tables and in words.

- ``evidence``: the trials, read once; everything else is drawn from them.
- ``associations``: what trials with an outcome have in common, and whether chance explains it.
- ``edges``, ``overfitting``, ``failures``, ``groups``, ``budget``: the facts.
- ``next_steps``: what to do about them.
- ``study``: all of it together, and its sentences.
- ``reading``: from the tables to all of it.
"""

from tunelab.service.findings.reading import find, read_findings
from tunelab.service.findings.study import Findings

__all__ = ["Findings", "find", "read_findings"]
