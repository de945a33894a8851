"""Workers that sleep in the place of training: each a thread that believes it is a process.

Run as ``python -m benchmarks.service.simulated --threads N --trial-seconds S``, with the database
in TUNELAB_DATABASE_URL. All but the training is the product's own: claims, epochs, beats, results.
At the end of its standard input it prints, for each worker, when its trials began and ended, when
there was none to be had, and the CPU time of all.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from benchmarks.overhead.study import N_EPOCHS, IdleBackend, IdleRun
from tunelab.execution import worker
from tunelab.execution.backends import BACKENDS
from tunelab.storage.engine import Database
from tunelab.storage.location import database_url
from tunelab.storage.outages import Patience
from tunelab.storage.owners import Owner
from tunelab.training.records import EpochRecord

Span = tuple[float, float]

_HERE = Owner.this_process()
_thread = threading.local()


def _owner() -> Owner:
    return getattr(_thread, "owner", _HERE)


class TimedRun(IdleRun):
    """Notes when it began and ended."""

    def __iter__(self) -> Iterator[EpochRecord]:
        began = time.time()
        for record in super().__iter__():
            if record.epoch == N_EPOCHS:
                _thread.spans.append((began, time.time()))
            yield record


@dataclass(frozen=True)
class SleepingBackend(IdleBackend):
    """Trials that sleep, and are noted."""

    def start(self, *arguments: Any, **more: Any) -> TimedRun:
        """Start a run whose loss depends on the hyperparameters alone."""
        run = super().start(*arguments, **more)
        return TimedRun(run.level, N_EPOCHS, self.epoch_seconds)


@dataclass
class Workers:
    """The threads."""

    leave: threading.Event = field(default_factory=threading.Event)
    spans: list[list[Span]] = field(default_factory=list)
    hungry: list[list[Span]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def run(self, index: int) -> None:
        """One worker, to its end."""
        # Of another host: whether it lives, nobody can see.
        _thread.owner = replace(_HERE, host=f"simulated-{_HERE.pid}-{index}")
        _thread.spans, _thread.hungry = [], []
        self.spans.append(_thread.spans)
        self.hungry.append(_thread.hungry)
        database = Database(database_url())
        database.patience = Patience(60.0, self.leave.is_set)
        try:
            worker.serve(database, self.leave.is_set)
        except Exception as error:
            self.errors.append(repr(error))
        finally:
            database.close()


class HungryService(worker._Service):
    """Notes how long there was no trial to be had."""

    def idle(self) -> float | None:
        """Seconds to wait when no trial does."""
        pause = super().idle()
        _thread.hungry.append((time.time(), time.time() + (pause or 0.0)))
        return pause


def main() -> None:
    """Work until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service.simulated")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--trial-seconds", type=float, required=True)
    given = parser.parse_args()
    backend = SleepingBackend(given.trial_seconds / N_EPOCHS)
    workers = Workers()
    threads = [threading.Thread(target=workers.run, args=(i,)) for i in range(given.threads)]
    with (
        mock.patch.dict(BACKENDS, {"numpy": lambda: backend}),
        mock.patch.object(worker, "_Service", HungryService),
        mock.patch.object(Owner, "this_process", _owner),
        contextlib.redirect_stdout(io.StringIO()),  # a worker says what it has claimed
    ):
        for thread in threads:
            thread.start()
        began = time.process_time()
        sys.stdin.read()
        workers.leave.set()
        for thread in threads:
            thread.join()
    answer = {
        "spans": workers.spans,
        "hungry": workers.hungry,
        "errors": workers.errors,
        "cpu": time.process_time() - began,
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
