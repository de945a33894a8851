"""A real database file with one study, and owners that are alive, dead or elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, select, update

from tunelab.storage.claims import Claim, claim_next, requeue_lost
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner, start_time
from tunelab.storage.recorder import Outcome
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason
from tunelab.storage.studies import StudyRow, create_study
from tunelab.storage.tables import metadata, trials
from tunelab.storage.trials import NewTrial, TrialRow, insert_trials, study_trials
from tunelab.training.monitor import Signal, Verdict
from tunelab.training.records import EpochRecord

HERE = Owner.this_process()
# The same process number, given to a process that started at another time.
DEAD = replace(HERE, started="0")
ELSEWHERE = replace(HERE, host="another-host")
NEIGHBOUR = replace(HERE, pid=os.getppid(), started=start_time(os.getppid()))

STUDY = {
    "spec": {"name": "digits"},
    "spec_hash": "",
    "data_digest": "",
    "data_path": "/data/digits",
    "baseline_loss": 1.0,
    "n_trials": 10,
    "timeout_seconds": None,
}


def epoch(number: int, loss: float = 0.5, **others: Any) -> EpochRecord:
    values = {"learning_rate": 0.1, "gradient_norm": 1.0, "seconds": 0.0} | others
    return EpochRecord(epoch=number, train_loss=loss, validation_loss=loss, **values)


def verdict(number: int, best: float | None = 0.5, best_epoch: int | None = None) -> Verdict:
    at = number if best_epoch is None else best_epoch
    return Verdict(
        signal=Signal.LEARNING,
        stop=False,
        epoch=number,
        best_epoch=0 if best is None else at,
        best_value=best,
        is_best=True,
        onset=None,
        gap=None,
        reason="still learning",
    )


def completed(number: int, value: float, **others: Any) -> Outcome:
    return Outcome(EndReason.COMPLETED, "budget used", verdict(number, value), value, **others)


class Bench:
    """A database with one running study."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as connection:
            self.study: StudyRow = create_study(connection, name="digits", **STUDY)

    def insert(self, n: int, start: int = 0) -> None:
        new = [
            NewTrial(number, {"units": number}, {}, 2**31 + number, RungLimits())
            for number in range(start, start + n)
        ]
        with self.database.write() as connection:
            insert_trials(connection, self.study.id, new)

    def claim(self, owner: Owner = HERE) -> Claim:
        with self.database.write() as connection:
            claim = claim_next(connection, self.study.id, owner)
        assert claim is not None
        return claim

    def set(self, claim: Claim, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(trials).where(trials.c.id == claim.trial_id).values(**values))

    def requeue(self) -> Sequence[int]:
        with self.database.write() as connection:
            return requeue_lost(connection, self.study.id, blamed=True)

    def lose(self, claim: Claim) -> None:
        """Let the claim's owner die, and its trial be taken back."""
        self.set(claim, owner=str(DEAD))
        assert self.requeue() == [claim.number]

    def trials(self) -> list[TrialRow]:
        with self.database.read() as connection:
            return study_trials(connection, self.study.id)

    def rows(self, query: Any) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(query).all())

    def dump(self) -> list[str]:
        """Everything that the database holds."""
        with self.database.read() as connection:
            return [
                f"{table.name}: {row}"
                for table in metadata.sorted_tables
                for row in connection.execute(select(table).order_by(*table.primary_key)).all()
            ]


class Counter:
    """Counts what a database is asked to do."""

    def __init__(self, database: Database) -> None:
        self.commits = 0
        self.texts: list[str] = []
        event.listen(database.engine, "commit", self._commit)
        event.listen(database.engine, "before_cursor_execute", self._statement)

    def _commit(self, *_: Any) -> None:
        self.commits += 1

    def _statement(self, _connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        self.texts.append(text)

    @property
    def statements(self) -> int:
        return len(self.texts)


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


_LAUNCHER = """
import json, os, sys, traceback

go, start = os.pipe()
children = []
for _ in range(int(sys.argv[1])):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(start)
        os.read(go, 1)  # returns in all processes at once, when the parent closes its end
        try:
            os.write(1, (json.dumps(work(*sys.argv[2:])) + "\\n").encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        os._exit(1)
os.close(start)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def run_together(script: str, n: int, *arguments: str) -> list[Any]:
    """What ``work(*arguments)``, defined by ``script``, returns in n processes at one moment.

    They are forked from one fresh process, so that only one has to load the libraries.
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script + _LAUNCHER, str(n), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]
