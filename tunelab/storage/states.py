"""The states that studies, trials and sweeps' slots pass through, as they stand in the tables."""

from __future__ import annotations

from enum import StrEnum

STOPPED = "stopped"  # the end reason of a study that was left in order
CANCELLED = "cancelled"  # and of one whose trials were not saved first
TIME_OVER = "study time ended"  # the reason of trials that were still under way then


class StudyState(StrEnum):
    """Where a study is."""

    RUNNING = "running"  # started, and not yet stopped or finished; its processes may have died
    STOPPED = "stopped"  # left in order before its end; ``study start`` goes on with it
    FINISHED = "finished"


class Executor(StrEnum):
    """Who runs a study's processes."""

    LOCAL = "local"  # ``study start``: coordinator, mirror, and workers of its own
    EXTERNAL = "external"  # the service: a controller, and workers wherever they are
    OPEN = "open"  # ``study start`` leads it, and the service's workers train


class TrialState(StrEnum):
    """Where a trial is."""

    WAITING = "waiting"  # for a worker; it may have epochs and a checkpoint already
    RUNNING = "running"
    FINISHED = "finished"


class EndReason(StrEnum):
    """Why a finished trial ended."""

    COMPLETED = "completed"  # used its budget of epochs
    EARLY_STOPPED = "early_stopped"  # its own monitor stopped it
    PRUNED = "pruned"  # other trials were better at the same epoch, or the study's time ended
    DIVERGED = "diverged"  # its loss was no number any more, or ran away
    FAILED = "failed"  # an exception, or its worker died too often

    @property
    def is_complete(self) -> bool:
        """Whether the trial counts as a full result: it can be the study's best.

        >>> EndReason.EARLY_STOPPED.is_complete, EndReason.PRUNED.is_complete
        (True, False)
        """
        return self in (EndReason.COMPLETED, EndReason.EARLY_STOPPED)


class SlotState(StrEnum):
    """What became of an instant at which a sweep was to start."""

    CLAIMED = "claimed"  # by a process that is about to start the study
    QUEUED = "queued"  # waits until an earlier generation has ended
    LAUNCHED = "launched"  # the study was created
    SKIPPED = "skipped"  # an earlier generation ran
    FAILED = "failed"  # the study could not be started
    LATE = "late"  # missed by more than the sweep's rules allow
