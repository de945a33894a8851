"""A hundred workers that sleep, and one coordinator that keeps them busy: how far that goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report
from benchmarks.overhead.study import make_study
from benchmarks.service.simulated import Span
from tests.service.conftest import environment
from tunelab.storage.engine import Database
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.states import Executor, StudyState
from tunelab.storage.studies import mark_started, study_by_id, update_study

N_WORKERS, TRIAL_SECONDS = 100, 5.0
_THREADS = 50  # of one process: more of them would wait for each other
_ROUNDS = 6  # trials of each worker
# Workers, and seconds of a trial: from the bar on, each time more trials a second.
LADDER = ((100, 5.0), (200, 5.0), (100, 2.0), (100, 1.0))


@dataclass(frozen=True)
class Simulated:
    """What came of one study.

    Attributes:
        idle: Share of the workers' time between a trial and the next.
        hungry: The part of it in which there was no trial to be had: the coordinator's.
        rate: Trials a second.
        start_seconds: From the first trial's beginning until every worker had one.
        coordinator: CPU seconds of a trial that the coordinator takes.
        workers: That all workers take.
        doubles: Trials trained twice, or not at all.
    """

    idle: float
    hungry: float
    rate: float
    start_seconds: float
    coordinator: float
    workers: float
    doubles: int


def measure_hundred(place: Place, samplers: Sequence[str]) -> None:
    """The idle share at the bar's load, and beyond it until it is no longer kept."""
    for sampler in samplers:
        for n_workers, seconds in LADDER:
            found = simulate(place, n_workers, seconds, sampler)
            bar = 5.0 if (n_workers, seconds) == (N_WORKERS, TRIAL_SECONDS) else None
            report(
                f"idle, {n_workers} workers, {seconds:g} s, {sampler}",
                100 * found.idle,
                "%",
                bar,
                f"{100 * found.hungry:.2f} % without a trial; {found.rate:.0f} trials/s, all at "
                f"work after {found.start_seconds:.1f} s; CPU a trial: coordinator "
                f"{1e3 * found.coordinator:.0f} ms, a worker {1e3 * found.workers:.0f} ms; "
                f"{found.doubles} twice",
            )


def simulate(place: Place, n_workers: int, trial_seconds: float, sampler: str) -> Simulated:
    """One study, from its submission to its end, with workers that are there before it."""
    folder = place.path()
    n_trials = _ROUNDS * n_workers
    url = place.url(folder)
    database, study = make_study(folder, url, n_trials=n_trials, sampler=sampler, pruner="none")
    variables = environment() | {DATABASE_URL_VARIABLE: url}
    threads = [min(_THREADS, n_workers - first) for first in range(0, n_workers, _THREADS)]
    words = ("benchmarks.service.simulated", "--trial-seconds", str(trial_seconds))
    processes = [_python(folder, variables, *words, "--threads", str(number)) for number in threads]
    _wait(database, "SELECT count(*) FROM workers", n_workers)
    with database.write() as connection:
        update_study(connection, study.id, executor=Executor.EXTERNAL)
        mark_started(connection, study.id)
    coordinator = _python(
        folder, variables, "tunelab.service.coordinator", "--study", str(study.id)
    )
    _, status, usage = os.wait4(coordinator.pid, 0)
    coordinator.returncode = os.waitstatus_to_exitcode(status)
    with database.read() as connection:
        ended = study_by_id(connection, study.id).state
    if ended is not StudyState.FINISHED:
        raise RuntimeError(f"the coordinator left with {coordinator.returncode}")
    spans: list[list[Span]] = []
    hungry: list[list[Span]] = []
    cpu = 0.0
    for process in processes:
        answer = json.loads(process.communicate()[0])
        if answer["errors"]:
            raise RuntimeError(answer["errors"][0])
        spans += answer["spans"]
        hungry += answer["hungry"]
        cpu += answer["cpu"]
    database.close()
    n_run = sum(len(own) for own in spans)
    first, last = max(own[0][0] for own in spans), max(own[-1][0] for own in spans)
    busy = _within(spans, first, last)
    whole = (last - first) * n_workers
    return Simulated(
        idle=1 - busy / whole,
        hungry=_within(hungry, first, last) / whole,
        rate=busy / trial_seconds / (last - first),
        start_seconds=first - min(own[0][0] for own in spans),
        coordinator=(usage.ru_utime + usage.ru_stime) / n_trials,
        workers=cpu / n_trials,
        doubles=abs(n_run - n_trials),
    )


def _within(spans: Sequence[Sequence[Span]], first: float, last: float) -> float:
    """How much of the spans lies between two moments."""
    return sum(max(min(end, last) - max(begin, first), 0.0) for own in spans for begin, end in own)


def _python(folder: Path, variables: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=Path.cwd() if words[0].startswith("benchmarks") else folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _wait(database: Database, query: str, value: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with database.read() as connection:
            if connection.exec_driver_sql(query).scalar() == value:
                return
        time.sleep(0.1)
    raise RuntimeError(f"never {value}: {query}")
