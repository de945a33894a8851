"""What the tests of the command line share: a small study, and ways to call the program."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tunelab.cli import main
from tunelab.spec.study import StudySpec
from tunelab.storage.claims import Claim, claim_next
from tunelab.storage.engine import Database
from tunelab.storage.owners import Owner
from tunelab.storage.recorder import Outcome, Recorder
from tunelab.storage.rungs import RungLimits
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason, StudyState
from tunelab.storage.studies import StudyRow, create_study, mark_ended, study_by_id
from tunelab.storage.trials import NewTrial, insert_trials
from tunelab.training.monitor import Signal, Verdict
from tunelab.training.records import EpochRecord

HYPERPARAMETERS = {
    "optimizer": "adam",
    "learning_rate": 0.0029,
    "schedule": "cosine",
    "layers": 2,
    "units": 128,
    "activation": "relu",
    "dropout_rate": 0.02,
    "l2": 0.0,
    "batch_size": 32,
}


@dataclass(frozen=True)
class Ended:
    """What a call of the program left behind."""

    code: int
    out: str
    err: str


def mapping(**search: Any) -> dict[str, Any]:
    """A study in study-file syntax."""
    return {
        "name": "digits",
        "task": "classification",
        "data": {"source": "sklearn", "name": "digits"},
        "search": {"trials": 6, "max_epochs": 30, **search},
        "confirm": "off",
    }


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Call ``tunelab`` with some arguments, in this process."""

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as left:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(left.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("TUNELAB_", "MLFLOW_")) or name in ("COLUMNS", "NO_COLOR", "CI"):
            monkeypatch.delenv(name)
    return tmp_path


def on_a_terminal(columns: int, *words: str, code: int = 0, **variables: str) -> list[str]:
    """What a person with a terminal of this width sees; NO_COLOR unless ``variables`` say else."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "CI")}
    env |= {"TERM": "xterm", "NO_COLOR": "1", **variables}
    command = [sys.executable, "-m", "tunelab", *words]
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=env) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # Linux: the other end has been closed
                break
            if not chunk:
                break
            seen += chunk
    os.close(leader)
    assert process.returncode == code
    return seen.decode().replace("\r\n", "\n").splitlines()


PRUNED = "rank 2 of 3 at epoch 2: 0.06 is above 0.05"


class Maker:
    """Fills a study database through the functions that workers use."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def study(self, n_trials: int = 6, **search: Any) -> StudyRow:
        """A study with waiting trials."""
        spec = StudySpec.from_mapping(mapping(trials=n_trials, **search)).resolve(1000)
        with self.database.write() as connection:
            study = create_study(
                connection,
                name=spec.name,
                spec=spec.to_mapping(),
                spec_hash="",
                data_digest="",
                data_path=str(self.database.home / "data" / "x"),
                baseline_loss=2.3,
                n_trials=n_trials,
                timeout_seconds=None,
            )
            new = [
                NewTrial(number, {**HYPERPARAMETERS, "units": 2**number}, {}, 0, RungLimits())
                for number in range(n_trials)
            ]
            insert_trials(connection, study.id, new)
        return study

    def train(
        self,
        study: StudyRow,
        losses: Sequence[float],
        end: EndReason | None,
        signal: Signal = Signal.PLATEAU,
        reason: str = "validation_loss has not improved for 10 epochs",
        error: str | None = None,
    ) -> Claim:
        """Train the next waiting trial to these validation losses; None: it still runs."""
        owner = Owner.this_process()
        with self.database.write() as connection:
            claim = claim_next(connection, study.id, owner)
        assert claim is not None
        recorder = Recorder(self.database, claim, maximize=False)
        best = min((loss, epoch) for epoch, loss in enumerate(losses, start=1))
        for epoch, loss in enumerate(losses, start=1):
            record = EpochRecord(epoch, loss - 0.02, loss, 0.001, 0.5, 2.0, 0.99, 0.9)
            verdict = Verdict(signal, False, epoch, best[1], best[0], False, None, 0.024, reason)
            recorder.record(record, verdict, None)
        if end is not None:
            recorder.finish(Outcome(end, reason, verdict, best[0], error=error), None)
        return claim

    def finish(self, study: StudyRow, state: StudyState = StudyState.FINISHED) -> StudyRow:
        """Note that the study has ended, after 1872 s."""
        with self.database.write() as connection:
            mark_ended(
                connection, study.id, state, end_reason="all trials have ended",
                running_seconds=1872.0,
            )  # fmt: skip
            return study_by_id(connection, study.id)


@pytest.fixture
def maker(home: Path) -> Any:
    """A database in the working directory, to be filled."""
    database = open_database("sqlite:///tunelab.db")
    yield Maker(database)
    database.close()


@pytest.fixture
def digits(maker: Maker) -> StudyRow:
    """A study that stopped: one trial of each kind, one that waits to go on, one that waits.

    Trial 0 (the default) has 0.142, trial 1 is the best with 0.0816 at epoch 3 of 4.
    """
    study = maker.study()
    maker.train(study, [0.9, 0.5, 0.142], EndReason.COMPLETED, Signal.UNFINISHED)
    maker.train(study, [0.8, 0.3, 0.0816, 0.2], EndReason.EARLY_STOPPED, Signal.OVERFITTING)
    maker.train(study, [0.7, 0.06], EndReason.PRUNED, Signal.LEARNING, PRUNED)
    maker.train(study, [1.2, 9.0], EndReason.DIVERGED, Signal.DIVERGED, "train_loss was nan")
    maker.train(study, [0.9], EndReason.FAILED, error="Traceback:\n  boom\x1b[2J")
    return maker.finish(study, StudyState.STOPPED)
