"""What leading a study needs of whatever runs its workers.

The database alone decides what becomes of a trial: workers claim it there under a lease, and one
whose worker is gone waits again when the lease is void. An executor starts and ends workers; it
never hands out, repeats or ends a trial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tunelab.storage.claims import Death
from tunelab.storage.engine import Database
from tunelab.storage.leases import Lease
from tunelab.storage.owners import Owner
from tunelab.storage.studies import StudyRow


@dataclass(frozen=True)
class LedStudy:
    """A study that this process leads.

    Attributes:
        database: The study database.
        study: The study.
        lease: Its coordinator's.
        n_workers: How many workers were asked for; None: as many as the executor has.
        trial_timeout: The seconds that a trial may train; None for no limit.
    """

    database: Database
    study: StudyRow
    lease: Lease
    n_workers: int | None = None
    trial_timeout: float | None = None


class Executor(Protocol):
    """Runs the workers of one study.

    One thread calls it: :meth:`start` once, then :meth:`tend` several times a second, and
    :meth:`leave` at the end, whatever happened. None of them waits for long.
    """

    is_open: bool
    """Whether workers from elsewhere are to train the study."""

    def expects(self, n_workers: int | None) -> int:
        """How many workers there will be, as far as that is known before the start.

        Args:
            n_workers: How many were asked for; None: no number.
        """

    def start(self, study: LedStudy) -> None:
        """Start workers.

        Raises:
            TunelabError: If that cannot be.
        """

    @property
    def n_workers(self) -> int:
        """For how many workers to have trials ready now: always 1, or never (see Coordinator)."""

    def tend(self) -> list[str]:
        """Replace workers that have ended.

        Returns:
            What there is to say, a sentence each.

        Raises:
            TunelabError: If no worker can train the study.
        """

    def death_of(self, owner: Owner) -> Death | None:
        """What a worker died of; None if that is not known here."""

    def kill(self) -> None:
        """End all workers at once; what they have not stored is lost."""

    def leave(self) -> None:
        """Have all workers give their trials back and leave; behind it nothing of this runs."""
