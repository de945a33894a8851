"""Worker processes on this machine, children of the process that leads the study."""

from __future__ import annotations

from tunelab.errors import TunelabError
from tunelab.service.executors.base import LedStudy
from tunelab.service.stop import available_cores
from tunelab.service.workers import Workers, alarm_cause
from tunelab.storage.claims import Death
from tunelab.storage.owners import Owner

_MAX_SHORT_LIVES = 3


class LocalExecutor:
    """Keeps as many worker processes at work as were asked for, else one for each core."""

    is_open = False

    def __init__(self) -> None:
        self._workers: Workers | None = None
        self._n_workers = 0
        self._short_lives = 0

    def expects(self, n_workers: int | None) -> int:
        """See :class:`tunelab.service.executors.base.Executor`, as for all methods here."""
        return n_workers or available_cores()

    def start(self, study: LedStudy) -> None:
        """One process for each worker; what it says goes to a log file."""
        key = study.study.id
        logs = study.database.home / "logs"
        self._n_workers = self.expects(study.n_workers)
        self._workers = Workers(
            study.database,
            lambda _slot: ["--study", str(key)],
            self._n_workers,
            log=lambda slot: logs / f"study-{key}-worker-{slot + 1}.log",
            alarm=alarm_cause(study.trial_timeout),
        )

    @property
    def n_workers(self) -> int:
        """As many as were started."""
        return self._n_workers

    def tend(self) -> list[str]:
        """Replace workers that have died.

        Raises:
            TunelabError: If they die as soon as they are started, before they have a trial. One
                that dies in a trial is the trial's matter, which fails in the end.
        """
        if self._workers is None:
            return []
        notices = []
        for ended in self._workers.ended():
            self._short_lives = self._short_lives + 1 if ended.is_short else 0
            if self._short_lives >= _MAX_SHORT_LIVES:
                raise TunelabError(
                    f"workers end as soon as they are started: {ended.cause}",
                    hint=f"see {ended.log}",
                )
            notices.append(f"a worker ended{ended.where}; another takes its place")
            self._workers.start(ended.slot)
        return notices

    def death_of(self, owner: Owner) -> Death | None:
        """Known of every worker that was started here."""
        return self._workers.death_of(owner) if self._workers else None

    def kill(self) -> None:
        """By SIGKILL."""
        if self._workers is not None:
            self._workers.kill()

    def leave(self) -> None:
        """Killed are those that do not leave in time."""
        if self._workers is not None:
            self._workers.leave()
