"""The service as the processes that it is, on a database of its own."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.faults.place import Place
from tests.service.conftest import Folder, environment

# What trains in no time: one epoch of 120 rows.
IDLE_STUDY = """\
name: NAME
task: classification
data: {source: sklearn, name: iris}
search: {sampler: random, pruner: none, trials: TRIALS, max_epochs: EPOCHS, seed: 0}
space: {optimizer: [sgd, momentum], schedule: [constant], layers: 1, units: 16, batch_size: 32}
monitor: {preset: "off"}
confirm: off
"""
# Trials that differ in what they learn, not in how long they take.
TRAINING_STUDY = """\
name: NAME
task: classification
data: {source: sklearn, name: digits}
search: {sampler: random, pruner: none, trials: TRIALS, max_epochs: EPOCHS, seed: 0}
space:
  optimizer: [momentum]
  learning_rate: {low: 1e-3, high: 1e-2, scale: log}
  schedule: [constant]
  layers: 2
  units: 128
  activation: relu
  batch_norm: false
  batch_size: 32
monitor: {preset: "off"}
confirm: off
"""
_TROUBLE = re.compile(r"deadlock|could not serialize|lock timeout|is locked|25P03|Traceback")


@dataclass(frozen=True)
class Trial:
    """A trial that has ended: when it was claimed, when its result was stored, how often."""

    number: int
    began: float
    ended: float
    attempts: int
    n_epochs: int


class Service:
    """A controller and workers, from the command line, in a working directory of their own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.folder = Folder(place.path())
        url = place.url(self.folder.path)
        if place.server is not None:
            self.folder.variables["TUNELAB_DATABASE_URL"] = url
            self.database = make_url(url).database
        self._processes: list[subprocess.Popen[bytes]] = []
        self._n_before = _size(self._server_log)

    def submit(self, study: str, name: str, n_trials: int, max_epochs: int) -> None:
        """Hand a study to the service."""
        text = study.replace("NAME", name).replace("TRIALS", str(n_trials))
        file = self.folder.path / f"{name}.yaml"
        file.write_text(text.replace("EPOCHS", str(max_epochs)))
        self.folder.tunelab("study", "submit", file.name)

    def start_controller(self) -> None:
        """``tunelab controller run``."""
        self._start("controller", "run")

    def start_workers(self, n_workers: int) -> None:
        """``tunelab worker run``; returns when all of them are ready."""
        self._start("worker", "run", "--concurrency", str(n_workers))
        self.folder.wait_for(f"SELECT count(*) = {n_workers} FROM workers", 60)

    def work(self, n_workers: int, n_trials: int) -> None:
        """``tunelab worker run`` for so many trials; nobody else asks the database meanwhile."""
        words = ("--concurrency", str(n_workers), "--max-trials", str(n_trials))
        self._start("worker", "run", *words).wait(600)

    def wait(self, name: str, seconds: float = 300.0) -> list[Trial]:
        """The trials of a study, when it has ended."""
        ended = f"SELECT state = 'finished' FROM studies WHERE name = '{name}'"
        self.folder.wait_for(ended, seconds, pause=0.25)  # to look costs those who work
        query = (
            "SELECT number, trials.started_at, trials.ended_at, attempts, n_epochs FROM trials "
            "JOIN studies ON studies.id = study_id WHERE name = ? ORDER BY number"
        )
        return [Trial(*row) for row in self.folder.sql(query, name)]

    def leave(self) -> None:
        """Have all processes leave; behind it the server has counted all that they did."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(20)
        self._processes.clear()

    def n_troubles(self) -> int:
        """Lines of any log that tell of a lock, a deadlock or an exception."""
        logs = [*self.folder.path.glob("*.log"), *self.folder.path.glob(".tunelab/logs/*.log")]
        texts = [path.read_text() for path in logs]
        if self._server_log is not None:
            texts.append(self.server_said())
        return sum(bool(_TROUBLE.search(line)) for text in texts for line in text.splitlines())

    def server_said(self) -> str:
        """What the server has logged since this service was made."""
        if self._server_log is None:
            return ""
        with self._server_log.open("rb") as log:
            log.seek(self._n_before)
            return log.read().decode(errors="replace")

    @property
    def _server_log(self) -> Path | None:
        return None if self.place.server is None else self.place.server.log

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        path = self.folder.path / f"{arguments[0]}-{len(self._processes)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tunelab", *arguments],
                cwd=self.folder.path,
                env=environment() | self.folder.variables,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process


@contextlib.contextmanager
def service(place: Place) -> Iterator[Service]:
    """A service that has left at the end of the block."""
    made = Service(place)
    try:
        yield made
    finally:
        made.leave()


def _size(path: Path | None) -> int:
    return 0 if path is None else path.stat().st_size
