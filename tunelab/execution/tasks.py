"""What a worker knows of the studies it trains: kept for the last few, and looked at again."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from tunelab.datasets import load_training_data
from tunelab.errors import NotFoundError
from tunelab.execution.backends import BACKENDS, Backend
from tunelab.execution.limits import TrialLimits
from tunelab.execution.trial import Task
from tunelab.spec.study import StudySpec
from tunelab.storage.engine import Database
from tunelab.storage.studies import StudyRow, study_by_id
from tunelab.storage.study_data import study_data
from tunelab.training.losses import baseline_loss

KEPT = 4  # studies, or splits of their data, that stay mapped
LOOK_SECONDS = 10.0  # a study that is stopped and goes on may have other limits


Data = tuple[str, str] | None
"""Path and digest of the prepared data of some confirm runs; None: the study's."""


def load_task(
    database: Database, study: StudyRow, backend: Backend | None = None, data: Data = None
) -> Task:
    """What the trials of ``study`` share that are trained on the same rows.

    Args:
        database: The study database; fetched data lie beside it.
        study: The study.
        backend: What trains; None for the one that the study names.
        data: The rows, where they are not the study's.

    Raises:
        TunelabError: If its prepared data are nowhere to be had, or damaged.
    """
    spec = StudySpec.from_mapping(study.spec)
    rows = load_training_data(study_data(database, study, data))
    baseline = study.baseline_loss
    return Task(
        spec=spec,
        data=rows,
        baseline_loss=baseline if data is None else baseline_loss(rows, spec.objective.loss),
        backend=backend or BACKENDS[spec.backend](),
        limits=TrialLimits(spec.search),
    )


@dataclass
class _Entry:
    study: StudyRow
    task: Task
    looked_at: float


class Tasks:
    """The tasks of the studies that were trained last.

    Args:
        database: The study database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: OrderedDict[tuple[int, Data], _Entry] = OrderedDict()
        self._latest: tuple[int, Data] | None = None

    def of(self, study_id: int, data: Data = None) -> Task:
        """The task of a study's trials that are trained on the same rows.

        Raises:
            TunelabError: If the study or its prepared data are missing.
        """
        key = (study_id, data)
        entry = self._entries.pop(key, None)
        now = time.monotonic()
        if entry is None or now - entry.looked_at > LOOK_SECONDS:
            study = self._read(study_id)
            if entry is None or _meaning(entry.study) != _meaning(study):
                entry = _Entry(study, load_task(self._database, study, data=data), now)
            entry.looked_at = now
        if self._latest not in (None, key):
            # A limit of memory counts from the present size, and other data have been mapped.
            entry.task = replace(entry.task, limits=TrialLimits(entry.task.spec.search))
        self._latest = key
        self._entries[key] = entry
        while len(self._entries) > KEPT:
            self._entries.popitem(last=False)
        return entry.task

    def title(self, study_id: int) -> str:
        """The study's name and generation."""
        of_study = (entry for (key, _), entry in self._entries.items() if key == study_id)
        entry = next(of_study, None)
        try:
            return (entry.study if entry else self._read(study_id)).title
        except NotFoundError:
            return "a study that has been deleted"

    def _read(self, study_id: int) -> StudyRow:
        return self._database.fetch(lambda connection: study_by_id(connection, study_id))


def _meaning(study: StudyRow) -> tuple[object, ...]:
    return study.spec, study.data_path, study.baseline_loss
