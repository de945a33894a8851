"""The study's own run: found or made, and sent what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Connection

from tunelab.service.mirror.best_colour import BestColour
from tunelab.service.mirror.destination import Destination
from tunelab.service.mirror.messages import NOTE_TAG, Entries, milliseconds
from tunelab.service.mirror.notes import N_BEST, StudyNote, experiment_note
from tunelab.service.mirror.registry import send_model
from tunelab.service.mirror.sent import Sent
from tunelab.service.mirror.study_record import (
    Confirmed,
    Progress,
    add_counts,
    add_results,
    experiment_tags,
    read_confirmed,
    study_params,
    study_status,
    study_tags,
)
from tunelab.service.mirror.sweep_record import REMOVED, fingerprint, slot_tags, tags_of_latest
from tunelab.service.mirror.used_data import UsedData
from tunelab.service.mirror.views import send_views
from tunelab.service.summary import effective_spec
from tunelab.spec.study_file import resolved_yaml
from tunelab.storage.mirror_runs import MirrorRun, last_end, study_run, trial_runs
from tunelab.storage.states import TrialState
from tunelab.storage.studies import StudyRow, find_study
from tunelab.storage.sweep_slots import slot_of_study
from tunelab.storage.trials import (
    TrialRow,
    best_trials,
    count_states,
    count_trials_alike,
    study_trials,
)


class StudySender:
    """Sends the run that stands for the study, under which its trials' runs hang.

    Args:
        destination: Where to.
        study: The study.
        colour: Moved when another trial is the best.
    """

    def __init__(self, destination: Destination, study: StudyRow, colour: BestColour) -> None:
        self._destination = destination
        self._tracking = destination.tracking
        self._colour = colour
        with destination.database.read() as connection:
            slot = slot_of_study(connection, study.id)  # it was there before the study
        self._spec = effective_spec(study)
        self._maximize = self._spec.objective.direction == "maximize"
        self._slot_tags = {} if slot is None else slot_tags(slot)
        self._study_file = resolved_yaml(self._spec)
        self._progress = Progress()
        self._run: MirrorRun | None = None

    def forget(self) -> None:
        """Look again whether the run is there."""
        self._run = None

    def run(self, study: StudyRow) -> MirrorRun:
        """The study's run: remembered, found by its tags, or created.

        Raises:
            Exception: Whatever MLflow raises.
        """
        if self._run is not None:
            return self._run
        destination = self._destination
        with destination.database.read() as connection:
            known = study_run(connection, study.id, destination.uri)
        if known is not None and not self._tracking.exists(known.run_id):
            # The database behind the URI is another one, or somebody cleared it: start over.
            destination.forget_all()
            self._progress = Progress()
            known = None
        if known is None:
            known = self._make(study)
            destination.remember([known])
        self._run = known
        return known

    def _make(self, study: StudyRow) -> MirrorRun:
        tracking, tags = self._tracking, study_tags(study)
        shared = experiment_tags(self._spec, is_latest=self._is_latest(study))
        experiment_id = tracking.experiment(study.name, shared)
        params = study_params(self._spec)
        found = tracking.find(experiment_id, tags)
        if found:
            run_id = found[0].run_id
            params = {key: text for key, text in params.items() if key not in found[0].params}
        else:
            began = milliseconds(study.started_at or study.created_at)
            run_id = tracking.create(experiment_id, study.title, began, tags)
        tracking.log(run_id, Entries(params=params))
        data = UsedData(self._spec.data)
        tracking.log_data(run_id, data.parts(study.data_path, study.data_digest))
        return MirrorRun(study.id, None, self._destination.uri, experiment_id, run_id, 0, "")

    def send(self, study: StudyRow) -> bool:
        """Send what the study's run lacks, after the trials' runs.

        Returns:
            Whether it lacked anything.

        Raises:
            Exception: Whatever MLflow raises.
        """
        parent = self.run(study)
        sent = Sent.from_text(parent.sent)
        with self._destination.database.read() as connection:
            groups = count_trials_alike(connection, study.id)
            ended = last_end(connection, study.id)
            sweep = tags_of_latest(connection, study)
            confirmed = read_confirmed(connection, study)
            best = best_trials(connection, study.id, N_BEST, maximize=self._maximize)
            runs = self._runs(connection, study, [*best, *_picked(connection, study, confirmed)])
        counts = count_states(groups)
        best_run = runs.get(best[0].number) if best else None
        note = StudyNote(
            study=study,
            spec=self._spec,
            counts=counts,
            best=best,
            confirmation=confirmed.found,
            experiment_id=parent.experiment_id,
            runs={number: run.run_id for number, run in runs.items()},
            further=[] if confirmed.gate is None else [confirmed.gate.sentence],
        ).text()
        wanted = replace(
            sent,
            state=str(study.state),
            ended=study.ended_at,
            finished=counts[TrialState.FINISHED],
            best=best[0].number if best_run else None,
            note=_fingerprint(note),
            study_file=_fingerprint(self._study_file),
            confirmed=confirmed.fingerprint,
            sweep=sent.sweep if sweep is None else fingerprint(sweep),
        )
        if wanted == sent:
            return False
        if wanted.sweep != sent.sweep:
            self._tracking.tag_experiment(parent.experiment_id, sweep or REMOVED)
        with self._destination.database.read() as connection:
            trials = study_trials(connection, study.id, from_number=self._progress.number)
        entries = Entries()
        progress = add_results(
            entries, trials, self._progress, parent.last_epoch, maximize=self._maximize
        )
        add_counts(entries, groups, ended)
        confirmed.add(entries)
        entries.tags |= self._slot_tags
        entries.tags[NOTE_TAG] = note
        self._tracking.log(parent.run_id, entries)
        if wanted.study_file != sent.study_file:
            text = self._study_file
            self._destination.write_files(
                parent.run_id, lambda folder: (folder / "study.yaml").write_text(text, "utf-8")
            )
        self._colour.move(parent.experiment_id, best_run)
        self._set_status(parent.run_id, study, sent.state)
        done = replace(parent, last_epoch=progress.number, sent=wanted.to_text())
        self._destination.remember([done])
        self._progress, self._run = progress, done
        return True

    def send_model(self, study: StudyRow) -> bool:
        """Register the study's model and move the aliases, as far as that has not been done.

        Returns:
            Whether there was anything to send.

        Raises:
            Exception: Whatever MLflow raises.
        """
        if study.gate is None:  # it is written together with the model
            return False
        destination = self._destination
        done = send_model(destination.database, self._tracking.uri, self.run(study))
        if done is None:
            return False
        destination.remember([done])
        self._run = done
        return True

    def _runs(
        self, connection: Connection, study: StudyRow, trials: Sequence[TrialRow]
    ) -> dict[int, MirrorRun]:
        """The runs of trials of the search, by the trials' numbers, as far as they are there."""
        keys = {trial.id: trial.number for trial in trials}
        runs = trial_runs(connection, study.id, self._destination.uri, keys)
        return {keys[key]: run for key, run in runs.items()}

    def send_views(self, study: StudyRow) -> None:
        """Store the saved views with the experiment of all generations, and links to them.

        Those of the latest generation count. If MLflow refuses them, a warning is all.

        Raises:
            Exception: Whatever MLflow raises of anything else.
        """
        if not self._is_latest(study):
            return
        destination = self._destination
        created = milliseconds(study.created_at)
        experiment_id = self.run(study).experiment_id
        stored = send_views(self._tracking, experiment_id, self._spec, created, destination.tell)
        note = experiment_note(self._spec, experiment_id if stored else None)
        self._tracking.tag_experiment(experiment_id, {NOTE_TAG: note})
        if stored != self.sent.views:
            self.note(replace(self.sent, views=stored))

    def _is_latest(self, study: StudyRow) -> bool:
        """Whether the study is the latest generation, which the experiment is described by."""
        with self._destination.database.read() as connection:
            latest = find_study(connection, study.name)
        return latest is not None and latest.id == study.id

    def _set_status(self, run_id: str, study: StudyRow, before: str) -> None:
        status, ended = study_status(study)
        if ended is not None:
            self._tracking.end(run_id, status, ended)
        elif before != study.state:
            self._tracking.reopen(run_id)

    @property
    def sent(self) -> Sent:
        """What the study's run has been sent; nothing before the first pass."""
        return Sent.from_text(self._run.sent) if self._run else Sent()

    def note(self, sent: Sent) -> None:
        """Remember that more has been sent to the study's run, which `run` has found."""
        if self._run is not None:
            done = replace(self._run, sent=sent.to_text())
            self._destination.remember([done])
            self._run = done


def _picked(connection: Connection, study: StudyRow, confirmed: Confirmed) -> list[TrialRow]:
    """The trial that the confirm stage has picked, if it has."""
    if confirmed.found is None or confirmed.found.pick is None:
        return []
    return study_trials(connection, study.id, numbers=[confirmed.found.pick])


def _fingerprint(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
