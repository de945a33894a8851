"""Passes over the study: each sends what MLflow lacks and remembers what was sent.

A pass reads the tables, talks to MLflow outside of any transaction and then remembers in one
transaction. If it dies in between, the next pass sends the same again with the same times, which
changes nothing in MLflow; runs that were created and not remembered are found by their tags.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection

from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.identities import sort_out
from tunelab.service.mirror.messages import (
    BEST_COLOR,
    COLOR_TAG,
    IDENTITY_TAG,
    NOTE_TAG,
    PARENT_TAG,
    Entries,
    milliseconds,
)
from tunelab.service.mirror.registry import send_model
from tunelab.service.mirror.sent import Sent
from tunelab.service.mirror.study_record import (
    Progress,
    Standing,
    add_counts,
    add_results,
    description,
    experiment_tags,
    identity_tags,
    read_confirmed,
    run_name,
    study_params,
    study_status,
    study_tags,
    trial_name,
)
from tunelab.service.mirror.sweep_record import REMOVED, fingerprint, slot_tags, tags_of_latest
from tunelab.service.mirror.tracking import FoundRun, RunGoneError, Tracking
from tunelab.service.mirror.trial_record import TrialWriter, trial_status
from tunelab.service.summary import effective_spec
from tunelab.spec.study_file import resolved_yaml
from tunelab.storage.engine import Database
from tunelab.storage.mirror_runs import (
    FINISHED,
    RUNNING,
    MirrorRun,
    all_runs,
    forget,
    forget_runs,
    last_end,
    oldest_start,
    open_or_stopped,
    remember,
    study_run,
    trial_runs,
    trials_behind,
)
from tunelab.storage.states import StudyState, TrialState
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.sweep_slots import slot_of_study
from tunelab.storage.trials import (
    EpochRow,
    TrialRow,
    best_trial,
    count_trials,
    study_curves,
    study_trials,
    trial_curve,
    trials_by_id,
)

SLICE = 50  # trials a pass: so much is sent at most before it is remembered
CURVE_SECONDS = 10.0  # between two requests for a trial that runs: its epochs are sent together


class Projection:
    """The runs of one study at one tracking URI.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking: Where the runs are.
        progressed: Called after each trial that has been sent; what it raises ends the pass.
        confirm: Called in each transaction that remembers what was sent; raises if another process
            does so by now.
    """

    def __init__(
        self,
        database: Database,
        study_id: int,
        tracking: Tracking,
        progressed: Callable[[], None] = lambda: None,
        confirm: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._study_id = study_id
        self._tracking = tracking
        self._progressed = progressed
        self._confirm = confirm
        self._uri = without_credentials(tracking.uri)
        with database.read() as connection:
            study = study_by_id(connection, study_id)
            slot = slot_of_study(connection, study_id)  # it was there before the study
        self._spec = effective_spec(study)
        self._writer = TrialWriter(self._spec, study.reference)
        self._maximize = self._spec.objective.direction == "maximize"
        self._identity = identity_tags(study)
        self._slot_tags = {} if slot is None else slot_tags(slot)
        self._study_file = resolved_yaml(self._spec)
        self._progress = Progress()
        self._parent: MirrorRun | None = None
        self._unremembered: dict[str, FoundRun] | None = None
        self._coloured: set[str] | None = None
        self._skipped: set[int] = set()
        self._running: dict[int, float] = {}  # key of a trial that runs -> when it was sent
        self._doubtful = False  # a request was given up: it may have made a run all the same

    def run_pass(self) -> bool:
        """Send what is new, at most `SLICE` trials of it.

        Returns:
            Whether there was something to send; then there may be more.

        Raises:
            NotFoundError: If the study has been deleted.
            Exception: Whatever MLflow raises. What was sent before is remembered.
        """
        try:
            return self._run_pass()
        except Exception:
            # Whatever failed may have reached MLflow all the same: look there before creating.
            self._unremembered = self._coloured = self._parent = None
            self._doubtful = True
            raise

    def _run_pass(self) -> bool:
        with self._database.read() as connection:
            study = study_by_id(connection, self._study_id)
        parent = self._parent_run(study)
        with self._database.read() as connection:
            keys = trials_behind(
                connection,
                study,
                self._uri,
                limit=SLICE + len(self._skipped) + len(self._running),
            )
            keys = [key for key in keys if key not in self._skipped]
            trials = trials_by_id(connection, keys) if keys else []
            trials = [trial for trial in trials if self._is_due(study, trial)]
            known = trial_runs(connection, study.id, self._uri, [trial.id for trial in trials])
            curves = self._curves(connection, trials, known)
            best = best_trial(connection, study.id, maximize=self._maximize) if trials else None
        if trials:
            self._send_trials(study, parent, trials, known, curves, best)
        news = self._send_study(study) or bool(trials)
        news = self._send_model(study) or news
        if self._doubtful and not news:
            self._remove_doubles(parent)
            self._doubtful = False
        return news

    # The study's own run

    def _parent_run(self, study: StudyRow) -> MirrorRun:
        """The study's run: remembered, found by its tags, or created."""
        if self._parent is not None:
            return self._parent
        with self._database.read() as connection:
            known = study_run(connection, study.id, self._uri)
        if known is not None and not self._tracking.exists(known.run_id):
            # The database behind the URI is another one, or somebody cleared it: start over.
            with self._database.write() as connection:
                self._confirm(connection)
                forget_runs(connection, study.id, self._uri)
            self._progress = Progress()
            self._skipped.clear()
            known = None
        # The one before this may have died while a request of his was on its way.
        self._doubtful = self._doubtful or known is not None
        if known is None:
            known = self._make_parent(study)
            self._remember([known])
        self._parent = known
        return known

    def _make_parent(self, study: StudyRow) -> MirrorRun:
        tracking, tags = self._tracking, study_tags(study)
        experiment_id = tracking.experiment(study.name, experiment_tags(self._spec))
        params = study_params(self._spec)
        found = tracking.find(experiment_id, tags)
        if found:
            run_id = found[0].run_id
            params = {key: text for key, text in params.items() if key not in found[0].params}
        else:
            began = milliseconds(study.started_at or study.created_at)
            run_id = tracking.create(experiment_id, study.title, began, tags)
        tracking.log(run_id, Entries(params=params))
        return MirrorRun(study.id, None, self._uri, experiment_id, run_id, 0, "")

    def _send_study(self, study: StudyRow) -> bool:
        parent = self._parent_run(study)
        sent = Sent.from_text(parent.sent)
        with self._database.read() as connection:
            counts = count_trials(connection, study.id)
            best = best_trial(connection, study.id, maximize=self._maximize)
            ended = last_end(connection, study.id)
            runs = trial_runs(connection, study.id, self._uri, [best.id] if best else [])
            sweep = tags_of_latest(connection, study)
            confirmed = read_confirmed(connection, study)
        best_run = runs.get(best.id) if best else None
        wanted = replace(
            sent,
            state=str(study.state),
            ended=study.ended_at,
            finished=counts[TrialState.FINISHED],
            n_trials=study.n_trials,
            best=best.number if best and best_run else None,
            study_file=sha256(self._study_file.encode()).hexdigest()[:16],
            confirmed=confirmed.fingerprint,
            sweep=sent.sweep if sweep is None else fingerprint(sweep),
        )
        if wanted == sent:
            return False
        if wanted.sweep != sent.sweep:
            self._tracking.tag_experiment(parent.experiment_id, sweep or REMOVED)
        with self._database.read() as connection:
            trials = study_trials(connection, study.id, from_number=self._progress.number)
        entries = Entries()
        progress = add_results(
            entries, trials, self._progress, parent.last_epoch, maximize=self._maximize
        )
        standing = Standing(study, counts, best, best_run.run_id if best_run else None, ended)
        add_counts(entries, standing)
        confirmed.add(entries)
        entries.tags |= self._slot_tags
        entries.tags[NOTE_TAG] = description(
            standing, self._spec, parent.experiment_id, confirmed.found
        )
        self._tracking.log(parent.run_id, entries)
        if wanted.study_file != sent.study_file:
            text = self._study_file
            self._write(parent.run_id, "study.yaml", lambda path: path.write_text(text, "utf-8"))
        self._colour(parent, best_run)
        self._set_status(parent.run_id, study, sent.state)
        done = replace(parent, last_epoch=progress.number, sent=wanted.to_text())
        self._remember([done])
        self._progress, self._parent = progress, done
        return True

    def _send_model(self, study: StudyRow) -> bool:
        done = send_model(self._database, self._tracking.uri, self._parent_run(study))
        if done is None:
            return False
        self._remember([done])
        self._parent = done
        return True

    def _set_status(self, run_id: str, study: StudyRow, before: str) -> None:
        status, ended = study_status(study)
        if ended is not None:
            self._tracking.end(run_id, status, ended)
        elif before != study.state:
            self._tracking.reopen(run_id)

    def _colour(self, parent: MirrorRun, best: MirrorRun | None) -> None:
        """Colour the best trial's run, and no other."""
        if self._coloured is None:
            tags = {**self._identity, COLOR_TAG: BEST_COLOR}
            found = self._tracking.find(parent.experiment_id, tags)
            self._coloured = {run.run_id for run in found}
        wanted = {best.run_id} if best else set()
        for run_id in wanted - self._coloured:
            with suppress(RunGoneError):
                self._tracking.log(run_id, Entries(tags={COLOR_TAG: BEST_COLOR}))
        for run_id in self._coloured - wanted:
            with suppress(RunGoneError):
                self._tracking.delete_tag(run_id, COLOR_TAG)
        self._coloured = wanted

    # The trials' runs

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
                self._progressed()
        finally:
            self._remember(done)

    def _remember(self, runs: Sequence[MirrorRun]) -> None:
        with self._database.write() as connection:
            self._confirm(connection)
            for run in runs:
                remember(connection, run)

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
            end_tags[COLOR_TAG] = BEST_COLOR  # with the rest: a request of its own is saved
        entries = Entries()
        if run is not None and ended and trial.attempts > 1 and self._is_outdated(run, curve):
            self._discard(run)  # MLflow takes no points back
            run = None
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
            run = MirrorRun(study.id, trial.id, self._uri, parent.experiment_id, run_id, 0, sent)
        else:
            entries.tags = end_tags
        after = run.last_epoch
        writer.add_curve(entries, [row for row in curve if row.epoch > after])
        if ended:
            writer.add_summary(entries, trial, curve)
        tracking.log(run.run_id, entries)
        if is_best and self._coloured is not None:
            self._coloured.add(run.run_id)
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
        with self._database.write() as connection:
            self._confirm(connection)
            forget(connection, [run.run_id])
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
            with self._database.read() as connection:
                since = oldest_start(connection, study.id, self._uri) or 0.0
            # Runs begin when their trials do: none that is looked for is older than the oldest.
            found = self._tracking.find(
                parent.experiment_id, self._identity, since=milliseconds(since)
            )
            self._unremembered = {run.tags.get(IDENTITY_TAG, ""): run for run in found}
        return self._unremembered.get(self._writer.identity(trial))

    def _remove_doubles(self, parent: MirrorRun) -> None:
        """Delete runs that a slow server made after the client had given up and asked again."""
        found = self._tracking.find(parent.experiment_id, self._identity)
        with self._database.read() as connection:
            remembered = {run.run_id for run in all_runs(connection, self._study_id, self._uri)}
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

    # Pictures

    def draw_best(self) -> bool:
        """Draw the learning curve of the best trial, unless that has been done.

        Returns:
            Whether it was drawn.

        Raises:
            Exception: Whatever MLflow raises.
        """
        parent = self._parent
        sent = Sent.from_text(parent.sent) if parent else Sent()
        if parent is None or sent.best is None or sent.best == sent.picture:
            return False
        with self._database.read() as connection:
            trial = study_trials(connection, self._study_id, numbers=[sent.best])[0]
            runs = trial_runs(connection, self._study_id, self._uri, [trial.id])
            curve = trial_curve(connection, trial.id)
        from tunelab.service.mirror.picture import draw_learning_curve

        title = f"{self._writer.title} {trial_name(trial.number)}: {trial.signal or 'no verdict'}"
        with suppress(RunGoneError):
            self._write(
                runs[trial.id].run_id,
                "learning_curve.png",
                lambda path: draw_learning_curve(
                    path, curve, title=title, best_epoch=trial.best_epoch, onset=trial.onset
                ),
                folder="plots",
            )
        done = replace(parent, sent=replace(sent, picture=sent.best).to_text())
        self._remember([done])
        self._parent = done
        return True

    def _write(
        self, run_id: str, name: str, write: Callable[[Path], object], folder: str | None = None
    ) -> None:
        with tempfile.TemporaryDirectory(prefix="tunelab-") as place:
            path = Path(place) / name
            write(path)
            self._tracking.write_file(run_id, path, folder)
