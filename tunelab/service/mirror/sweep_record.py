"""A sweep as MLflow shows it: tags of its experiment, and of the runs of studies that it started.

A slot that was left out has no run. So what became of the newest slot stands in a tag of the
experiment that all generations share, where the slots' studies show up as well::

    tunelab.sweep        0 2 * * * Europe/Berlin
    tunelab.sweep.last   skipped 2026-11-23T01:00Z: digits #7 runs

The tags are computed from the tables alone, so whoever sends them sends the same: the mirror of the
latest generation while there is one, and :class:`SweepRecords` for all sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tunelab.service.mirror.messages import NOTE_TAG
from tunelab.service.mirror.notes import experiment_note
from tunelab.service.mirror.study_record import experiment_tags
from tunelab.service.sweeps.slots import ON_TIME_SECONDS
from tunelab.storage.engine import Database
from tunelab.storage.states import SlotState
from tunelab.storage.studies import StudyRow, find_study
from tunelab.storage.sweep_outcomes import SweepOutcome, latest_outcome
from tunelab.storage.sweep_slots import SlotRow
from tunelab.storage.sweeps import SweepRow, all_sweeps, find_sweep

if TYPE_CHECKING:
    from tunelab.service.mirror.tracking import Tracking

SWEEP_TAG = "tunelab.sweep"
LAST_TAG = "tunelab.sweep.last"
SLOT_TAG = "tunelab.sweep.slot"
LATE_TAG = "tunelab.sweep.late"

REMOVED = {SWEEP_TAG: "removed"}
_LONGEST_REASON = 1000

Tags = Mapping[str, str]


def sweep_tags(sweep: SweepRow, last: SweepOutcome | None) -> dict[str, str]:
    """Tags of a sweep's experiment.

    Args:
        sweep: The sweep.
        last: How its newest slot that has ended did so; None if none has.
    """
    rules = sweep.sweep
    return {
        SWEEP_TAG: f"{rules.expression} {rules.timezone}",
        LAST_TAG: "none yet" if last is None else _told(last),
    }


def slot_tags(slot: SlotRow) -> dict[str, str]:
    """Tags of the run of a study that a slot started: its instant, and whether it came late.

    A study that was created more than a minute after its slot came late, whether the slot was
    missed, had to wait, or the data took so long.
    """
    at = datetime.fromtimestamp(slot.slot_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = slot.ended_at is not None and slot.ended_at - slot.slot_at > ON_TIME_SECONDS
    return {SLOT_TAG: at, LATE_TAG: "true" if late else "false"}


def tags_of_latest(connection: Connection, study: StudyRow) -> dict[str, str] | None:
    """What the mirror of this study has to send of its sweep.

    Returns:
        The experiment's tags; none of them if there is no sweep of this name. None if there is a
        later generation, whose mirror sends them.
    """
    latest = find_study(connection, study.name)
    if latest is not None and latest.id != study.id:
        return None
    sweep = find_sweep(connection, study.name)
    return {} if sweep is None else sweep_tags(sweep, latest_outcome(connection, sweep.id))


def fingerprint(tags: Tags) -> str:
    """Tells tags from others; empty for none."""
    return sha256(json.dumps(tags, sort_keys=True).encode()).hexdigest()[:16] if tags else ""


class SweepRecords:
    """The experiments of all sweeps, also of those none of whose studies is being mirrored.

    Args:
        database: The study database.
        tracking: Where the experiments are.
    """

    def __init__(self, database: Database, tracking: Tracking) -> None:
        self._database = database
        self._tracking = tracking
        self._sent: dict[str, Tags] = {}  # by name; the first time MLflow itself is asked

    def send(self) -> dict[str, int]:
        """Send the tags that are others than at the last call.

        An experiment that is missing is made when a slot of its sweep has ended; one that has been
        deleted in MLflow is left alone. A sweep that was removed since the last call is noted as
        such. Several processes may do this at one time.

        Returns:
            How many tags were set, by the sweep's name, of those that were not as they should be.

        Raises:
            DatabaseError: If the study database cannot be read.
            Exception: Whatever MLflow raises. What was sent before is not sent again.
        """
        with self._database.read() as connection:
            sweeps = {
                sweep.name: (sweep, latest_outcome(connection, sweep.id))
                for sweep in all_sweeps(connection)
            }
        changed = {}
        for name, (sweep, last) in sweeps.items():
            tags = sweep_tags(sweep, last)
            if self._sent.get(name) != tags:
                changed[name] = self._send(name, tags, sweep if last else None)
                self._sent[name] = tags
        for name in self._sent.keys() - sweeps.keys():
            changed[name] = self._send(name, REMOVED, None)
            del self._sent[name]
        return {name: n for name, n in changed.items() if n}

    def _send(self, name: str, tags: Tags, making: SweepRow | None) -> int:
        """Set the tags; where there is no experiment it is made for ``making``."""
        from tunelab.service.mirror.tracking import ExperimentGoneError

        try:
            experiment_id = self._tracking.known_experiment(name)
        except ExperimentGoneError:
            return 0
        if experiment_id is not None:
            return self._tracking.tag_experiment(experiment_id, tags)
        if making is None:
            return 0
        # Without links: there is no run for a view to show.
        note = {NOTE_TAG: experiment_note(making.study, None)}
        self._tracking.experiment(name, {**experiment_tags(making.study), **note, **tags})
        return len(tags)


def _told(last: SweepOutcome) -> str:
    what = f"{last.state} {last.slot}"
    if last.state is SlotState.LAUNCHED:
        return what if last.generation is None else f"{what}: {last.name} #{last.generation}"
    reason = " ".join((last.reason or "").split())
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + " ..."
    return f"{what}: {reason}" if reason else what
