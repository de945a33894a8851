"""The runs of the trials, of the search and of the confirm stage: made, sent, ended."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from tunelab.service.mirror.best_colour import BestColour
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.identities import sort_out
from tunelab.service.mirror.messages import IDENTITY_TAG, PARENT_TAG, Entries, milliseconds
from tunelab.service.mirror.notes import run_name
from tunelab.service.mirror.study_record import identity_tags
from tunelab.service.mirror.tracking import FoundRun, RunGoneError
from tunelab.service.mirror.trial_record import TrialWriter, trial_status
from tunelab.service.mirror.used_data import UsedData
from tunelab.service.summary import effective_spec
from tunelab.storage.mirror_runs import (
    FINISHED,
    RUNNING,
    MirrorRun,
    all_runs,
    oldest_start,
    open_or_stopped,
    trial_runs,
    trials_behind,
)
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow
from tunelab.storage.trials import EpochRow, TrialRow, best_trial, study_curves, trials_by_id

SLICE = 50  # trials a pass: so much is sent at most before it is remembered
CURVE_SECONDS = 10.0  # between two requests for a trial that runs: its epochs are sent together


class TrialSender:
    """Sends the trials' runs.

    Args:
        destination: Where to.
        study: The study.
        colour: Told of a run that is sent as the best one.
    """

    def __init__(self, destination: Destination, study: StudyRow, colour: BestColour) -> None:
        self._destination = destination
        self._tracking = destination.tracking
        self._colour = colour
        spec = effective_spec(study)
        self._writer = TrialWriter(spec, study.reference)
        self._maximize = spec.objective.direction == "maximize"
        self._identity = identity_tags(study)
        self._data = UsedData(spec.data)
        self._unremembered: dict[str, FoundRun] | None = None
        self._skipped: set[int] = set()
        self._running: dict[int, float] = {}  # key of a trial that runs -> when it was sent

    def forget(self) -> None:
        """Look again which runs are there that could not be remembered."""
        self._unremembered = None

    def start_over(self) -> None:
        """Send also the runs that somebody had deleted: the study's own run is another."""
        self._skipped.clear()

    def send(self, study: StudyRow, parent: MirrorRun) -> bool:
        """Send what is new, at most `SLICE` trials of it.

        Returns:
            Whether there was something to send.

        Raises:
            Exception: Whatever MLflow raises. What was sent before is remembered.
        """
        uri = self._destination.uri
        with self._destination.database.read() as connection:
            limit = SLICE + len(self._skipped) + len(self._running)
            keys = trials_behind(connection, study, uri, limit=limit)
            keys = [key for key in keys if key not in self._skipped]
            trials = trials_by_id(connection, keys) if keys else []
            trials = [trial for trial in trials if self._is_due(study, trial)]
            known = trial_runs(connection, study.id, uri, [trial.id for trial in trials])
            curves = self._curves(connection, trials, known)
            best = best_trial(connection, study.id, maximize=self._maximize) if trials else None
        if trials:
            self._send_trials(study, parent, trials, known, curves, best)
        return bool(trials)

    def _send_trials(
        self,
        study: StudyRow,
        parent: MirrorRun,
        trials: list[TrialRow],
        known: Mapping[int, MirrorRun],
        curves: Mapping[int, list[EpochRow]],
        best: TrialRow | None,
    ) -> None:
        done: list[MirrorRun] = []
        try:
            for trial in trials:
                run = known.get(trial.id)
                if trial.state is TrialState.RUNNING:
                    self._running[trial.id] = time.monotonic()
                else:
                    self._running.pop(trial.id, None)
                is_best = best is not None and trial.id == best.id
                try:
                    done.append(
                        self._send_trial(study, parent, trial, run, curves[trial.id], is_best)
                    )
                except RunGoneError:
                    # Somebody deleted this run in MLflow; that is respected, until the next start.
                    self._skipped.add(trial.id)
                self._destination.progressed()
        finally:
            self._destination.remember(done)

    def _is_due(self, study: StudyRow, trial: TrialRow) -> bool:
        """Whether to send what the trial's run lacks now; new epochs alone can wait a little."""
        if trial.state is not TrialState.RUNNING or study.state is not StudyState.RUNNING:
            return True
        since = time.monotonic() - self._running.get(trial.id, -math.inf)
        return since >= CURVE_SECONDS

    def _send_trial(
        self,
        study: StudyRow,
        parent: MirrorRun,
        trial: TrialRow,
        run: MirrorRun | None,
        curve: list[EpochRow],
        is_best: bool,
    ) -> MirrorRun:
        writer, tracking = self._writer, self._tracking
        ended = trial.state is TrialState.FINISHED
        end_tags = writer.end_tags(trial, curve) if ended else {}
        if is_best:
            end_tags |= self._colour.tag  # with the rest: a request of its own is saved
        entries = Entries()
        if run is not None and ended and trial.attempts > 1 and self._is_outdated(run, curve):
            self._discard(run)  # MLflow takes no points back
            run = None
        is_new = run is None
        if run is None:
            writer.add_hyperparameters(entries, trial)
            found = self._found(study, parent, trial)
            if found is None:
                tags = {**self._identity, **writer.tags(trial), **end_tags}
                tags[PARENT_TAG] = parent.run_id
                began = milliseconds(trial.started_at or 0.0)
                run_id = tracking.create(parent.experiment_id, run_name(trial), began, tags)
            else:
                run_id = found.run_id
                entries.tags = {**writer.tags(trial), **end_tags, PARENT_TAG: parent.run_id}
            opened = found is None or found.status == RUNNING.upper()
            sent = RUNNING if opened else ""
            uri = self._destination.uri
            run = MirrorRun(study.id, trial.id, uri, parent.experiment_id, run_id, 0, sent)
        else:
            entries.tags = end_tags
        after = run.last_epoch
        writer.add_curve(entries, [row for row in curve if row.epoch > after])
        if ended:
            writer.add_summary(entries, trial, curve)
        tracking.log(run.run_id, entries)
        if is_new:
            path, digest = trial.data_path, trial.data_digest
            parts = self._data.parts(path or study.data_path, digest or study.data_digest)
            tracking.log_data(run.run_id, parts)
        if is_best:
            self._colour.note(run.run_id)
        state = self._set_trial_status(study, trial, run)
        reached = max([after, trial.n_epochs, *(row.epoch for row in curve)])
        return replace(run, last_epoch=reached, sent=state)

    def _is_outdated(self, run: MirrorRun, curve: list[EpochRow]) -> bool:
        """Whether the run shows epochs of a lost attempt that are not the trial's any more.

        That attempt had come further, or the epochs were trained again on another machine.
        """
        entries = Entries()
        self._writer.add_curve(entries, curve)
        key = self._writer.curve_keys[0]
        return not set(self._tracking.history(run.run_id, key)) <= set(entries.points)

    def _discard(self, run: MirrorRun) -> None:
        self._tracking.delete(run.run_id)
        self._destination.forget([run.run_id])
        self._unremembered = None

    def _set_trial_status(self, study: StudyRow, trial: TrialRow, run: MirrorRun) -> str:
        status, ended = trial_status(trial, study)
        if ended is not None:
            self._tracking.end(run.run_id, status, ended)
        elif run.sent != RUNNING:
            self._tracking.reopen(run.run_id)
        if trial.state is TrialState.FINISHED:
            return FINISHED
        return open_or_stopped(study)

    def _found(self, study: StudyRow, parent: MirrorRun, trial: TrialRow) -> FoundRun | None:
        """The trial's run, if one was created and could not be remembered."""
        if self._unremembered is None:
            uri = self._destination.uri
            with self._destination.database.read() as connection:
                since = oldest_start(connection, study.id, uri) or 0.0
            # Runs begin when their trials do: none that is looked for is older than the oldest.
            found = self._tracking.find(
                parent.experiment_id, self._identity, since=milliseconds(since)
            )
            self._unremembered = {run.tags.get(IDENTITY_TAG, ""): run for run in found}
        return self._unremembered.get(self._writer.identity(trial))

    def remove_doubles(self, parent: MirrorRun) -> None:
        """Delete runs that a slow server made after the client had given up and asked again.

        Raises:
            Exception: Whatever MLflow raises.
        """
        found = self._tracking.find(parent.experiment_id, self._identity)
        destination = self._destination
        with destination.database.read() as connection:
            rows = all_runs(connection, destination.study_id, destination.uri)
        remembered = {run.run_id for run in rows}
        for run in sort_out(found, remembered).doubles:
            self._tracking.delete(run.run_id)

    def _curves(
        self, connection: Connection, trials: list[TrialRow], known: Mapping[int, MirrorRun]
    ) -> dict[int, list[EpochRow]]:
        """New epochs of trials that run, all epochs of those that ended: for the summary."""
        after = {
            trial.id: 0
            if trial.state is TrialState.FINISHED or trial.id not in known
            else known[trial.id].last_epoch
            for trial in trials
        }
        return study_curves(connection, after)
