"""A watcher turns the rows of a study into events, by asking what has changed since last time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from tunelab.service.events import (
    ConfirmEpochFinished,
    ConfirmProgress,
    ConfirmRunStarted,
    EpochFinished,
    Event,
    TrialFinished,
    TrialStarted,
)
from tunelab.service.summary import StudySummary, summarize
from tunelab.storage.engine import Database
from tunelab.storage.states import TrialState
from tunelab.storage.studies import study_by_id
from tunelab.storage.trials import CONFIRM, EpochRow, TrialRow, study_curves, study_trials


class Watcher:
    """Follows one study from now on; trials that have ended before are not told of.

    Args:
        database: The study database.
        study_id: Key of the study.
    """

    def __init__(self, database: Database, study_id: int) -> None:
        self._database = database
        self._study_id = study_id
        summary = self.summary()
        self._maximize = summary.spec.objective.direction == "maximize"
        self._best = summary.best.value if summary.best else None
        self._attempts: dict[int, int] = {}  # trial key -> attempt that was announced
        self._epochs: dict[int, int] = {}  # trial key -> last epoch that was told
        rows = database.fetch(lambda connection: study_trials(connection, study_id))
        self._ended = {row.number for row in rows if row.state is TrialState.FINISHED}
        self._first_open = 0  # no trial with a lower number is open
        runs = database.fetch(lambda connection: study_trials(connection, study_id, kind=CONFIRM))
        self._confirmed = {row.number for row in runs if row.state is TrialState.FINISHED}
        self._n_confirm = len(self._confirmed)  # runs that were told of

    def summary(self) -> StudySummary:
        """The study as it stands now."""
        return self._database.fetch(
            lambda connection: summarize(connection, study_by_id(connection, self._study_id))
        )

    def poll(self) -> list[Event]:
        """What has happened since the last call, in order of the trials."""
        active, curves, confirm = self._database.fetch(self._news)
        events: list[Event] = []
        for row in active:
            if self._begins(row):
                events.append(TrialStarted(row))
            events += [EpochFinished(row.number, epoch) for epoch in self._new(row, curves)]
        ended = [row for row in active if row.state is TrialState.FINISHED]
        for row in sorted(ended, key=lambda row: (row.ended_at or 0.0, row.number)):
            self._ended.add(row.number)
            events.append(TrialFinished(row, is_best=self._is_best(row)))
        while self._first_open in self._ended:
            self._first_open += 1
        return events + self._of_confirm_stage(confirm, curves)

    def _begins(self, row: TrialRow) -> bool:
        """Whether this attempt of a trial is new."""
        is_new = self._attempts.get(row.id) != row.attempts
        self._attempts[row.id] = row.attempts
        return is_new

    def _new(self, row: TrialRow, curves: Mapping[int, Sequence[EpochRow]]) -> Sequence[EpochRow]:
        """The epochs of a trial that were not told yet."""
        if curves[row.id]:
            self._epochs[row.id] = curves[row.id][-1].epoch
        return curves[row.id]

    def _of_confirm_stage(
        self, rows: list[TrialRow], curves: Mapping[int, Sequence[EpochRow]]
    ) -> list[Event]:
        ended = [row for row in rows if row.state is TrialState.FINISHED]
        new = [row for row in ended if row.number not in self._confirmed]
        new.sort(key=lambda row: (row.ended_at or 0.0, row.number))
        events: list[Event] = []
        if len(rows) > self._n_confirm and len(ended) < len(rows):
            events.append(ConfirmProgress(len(ended) - len(new), len(rows)))
        for row in rows:
            if row.id not in curves:
                continue
            if self._begins(row):
                events.append(ConfirmRunStarted(row))
            events += [ConfirmEpochFinished(row.number, epoch) for epoch in self._new(row, curves)]
        events += [
            ConfirmProgress(len(ended) - len(new) + place, len(rows), row)
            for place, row in enumerate(new, start=1)
        ]
        self._n_confirm = len(rows)
        self._confirmed = {row.number for row in ended}
        return events

    def _news(
        self, connection: Connection
    ) -> tuple[list[TrialRow], dict[int, list[EpochRow]], list[TrialRow]]:
        """The trials that have begun and are not known to have ended, and their new epochs.

        And all runs of the confirm stage, which are few; with the new epochs of those alike.
        """
        rows = study_trials(connection, self._study_id, from_number=self._first_open)
        active = [
            row
            for row in rows
            if row.number not in self._ended and row.state is not TrialState.WAITING
        ]
        confirm = study_trials(connection, self._study_id, kind=CONFIRM)
        trained = [
            row
            for row in confirm
            if row.number not in self._confirmed and row.state is not TrialState.WAITING
        ]
        after = {row.id: self._epochs.get(row.id, 0) for row in (*active, *trained)}
        return active, study_curves(connection, after), confirm

    def _is_best(self, row: TrialRow) -> bool:
        if row.value is None or row.end_reason is None or not row.end_reason.is_complete:
            return False
        best = self._best
        better = best is None or (row.value > best if self._maximize else row.value < best)
        if better:
            self._best = row.value
        return better
