"""Which run stands for which trial, where there may be more than one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tunelab.service.mirror.messages import IDENTITY_TAG
from tunelab.service.mirror.tracking import FoundRun


@dataclass
class Sorted:
    """Runs by what they stand for.

    Attributes:
        kept: Value of the tag ``tunelab.trial_id`` -> the one run that counts.
        doubles: Further runs for the same.
    """

    kept: dict[str, FoundRun] = field(default_factory=dict)
    doubles: list[FoundRun] = field(default_factory=list)


def sort_out(found: Iterable[FoundRun], remembered: Collection[str]) -> Sorted:
    """Choose one run for each identity: the remembered one, else the first."""
    sorted_out = Sorted()
    for run in sorted(found, key=lambda run: (run.run_id not in remembered, run.run_id)):
        identity = run.tags.get(IDENTITY_TAG, "")
        if identity in sorted_out.kept:
            sorted_out.doubles.append(run)
        else:
            sorted_out.kept[identity] = run
    return sorted_out
