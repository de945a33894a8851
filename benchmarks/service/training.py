"""Trials of about a second that really train: how they scale, and what they commit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report, report_least
from benchmarks.service.processes import TRAINING_STUDY, Service, Trial, service
from tests.service.conftest import environment
from tunelab.service.children import THREAD_VARIABLES

TRIAL_SECONDS = 1.0
_N_CALIBRATED, _EPOCHS_CALIBRATED = 4, 40
# The arithmetic of such a trial and nothing else: what two processes get of the machine.
_BARE = """
import time
import numpy as np
x, w, b = (np.ones(shape, np.float32) for shape in ((32, 64), (64, 128), (128, 128)))
until, steps = time.monotonic() + 4.0, 0
while time.monotonic() < until:
    for _ in range(100):
        np.tanh(np.tanh(x @ w) @ b)
    steps += 1
print(steps)
"""
_STATEMENT = re.compile(r"\S+ \S+ \S+ (\d+) tunelab\|LOG: +(?:execute [^:]*|statement): (\w*;?)")


def measure_scaling(place: Place, n_trials: int, n_rounds: int) -> None:
    """Trials a second of two workers beside those of one, in turns."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    seconds: dict[int, list[float]] = {1: [], 2: []}
    bare: list[float] = []
    max_epochs = epochs_of_a_second(place)
    for _ in range(n_rounds):
        alone, together = (_bare_steps(number) for number in (1, 2))
        bare.append(together / alone)
        for n_workers in rates:
            with service(place) as running:
                trials = _train(running, n_workers, n_trials, max_epochs)
            rate, share = steady(trials, n_workers)
            rates[n_workers].append(rate)
            busy[n_workers].append(share)
            seconds[n_workers].append(float(np.median([t.ended - t.began for t in trials])))
    for n_workers in rates:
        report(
            f"trials a second, {n_workers} at work",
            float(np.median(rates[n_workers])),
            "",
            None,
            f"{np.median(seconds[n_workers]):.2f} s each; a worker has a trial for "
            f"{100 * np.median(busy[n_workers]):.1f} % of its time",
        )
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    report_least("times as many", float(np.median(ratios)), "", 1.9, f"of {told}")
    told = ", ".join(f"{ratio:.2f}" for ratio in bare)
    report("two bare processes beside one", float(np.median(bare)), "", None, f"of {told}")
    # What remains when the machine gives two processes less than twice what it gives one.
    shares = [2 * two / one for one, two in zip(busy[1], busy[2], strict=True)]
    report_least("times the time that trials get", float(np.median(shares)), "", 1.9)


def measure_commits(place: Place, n_trials: int) -> None:
    """Commits a trial as the server counts them, and what the transactions were."""
    if place.server is None:
        return
    max_epochs = epochs_of_a_second(place)
    counted = "SELECT xact_commit FROM pg_stat_database WHERE datname = %s"
    with service(place) as running, place.server.connect() as session:
        running.submit(TRAINING_STUDY, "training", n_trials, max_epochs)
        (before,) = session.execute(counted, [running.database]).fetchone() or (0,)
        session.execute("ALTER SYSTEM SET log_statement = 'all'")
        session.execute("SELECT pg_reload_conf()")
        running.start_controller()
        running.work(2, n_trials)
        running.leave()  # a session has told all that it did when it has ended
        (after,) = session.execute(counted, [running.database]).fetchone() or (0,)
        session.execute("ALTER SYSTEM RESET log_statement")
        session.execute("SELECT pg_reload_conf()")
        kinds = Counter(transactions(running.server_said()))
        trials = running.wait("training")
    seconds = sum(trial.ended - trial.began for trial in trials) / n_trials
    n_commits = (after - before) / n_trials
    told = ", ".join(f"{count / n_trials:.1f} {kind}" for kind, count in kinds.most_common())
    report("commits a trial", n_commits, "", 10, f"trials of {seconds:.2f} s, two workers")
    print(f"  transactions a trial: {told}")


def transactions(log: str) -> Iterator[str]:
    """What each transaction in a server's log was."""
    wrote: dict[str, bool] = {}
    for line in log.splitlines():
        found = _STATEMENT.match(line)
        if found is None:
            continue
        session, word = found.groups()
        if word == "BEGIN":
            wrote[session] = False
        elif word in ("COMMIT", "ROLLBACK"):
            ended = "committed" if word == "COMMIT" else "rolled back"
            yield f"{'writing' if wrote.pop(session, False) else 'reading'} ({ended})"
        elif session not in wrote:
            yield "of one statement (committed)"
        elif word in ("INSERT", "UPDATE", "DELETE"):
            wrote[session] = True


def epochs_of_a_second(place: Place) -> int:
    """For how many epochs a trial trains in a second."""
    with service(place) as running:
        _train(running, 1, _N_CALIBRATED, _EPOCHS_CALIBRATED)
        rows = running.folder.sql("SELECT seconds FROM epochs ORDER BY seconds")
    (seconds,) = rows[len(rows) // 2]
    return max(1, round(TRIAL_SECONDS / float(seconds)))


def steady(trials: list[Trial], n_workers: int) -> tuple[float, float]:
    """Trials a second, and the share of their time in which workers have a trial.

    From when all of them have one until the last is claimed, so that none lacks one for want of
    trials. What a trial has within that time counts as that part of it.
    """
    began = sorted(trial.began for trial in trials)
    first, last = began[n_workers - 1], began[-1]
    within = [max(min(t.ended, last) - max(t.began, first), 0.0) for t in trials]
    n_trials = sum(part / (t.ended - t.began) for part, t in zip(within, trials, strict=True))
    return n_trials / (last - first), sum(within) / (last - first) / n_workers


def _bare_steps(n_processes: int) -> int:
    words = [sys.executable, "-c", _BARE]
    variables = environment() | dict.fromkeys(THREAD_VARIABLES, "1")
    started = [
        subprocess.Popen(words, env=variables, stdout=subprocess.PIPE, text=True)
        for _ in range(n_processes)
    ]
    return sum(int(process.communicate()[0]) for process in started)


def _train(running: Service, n_workers: int, n_trials: int, max_epochs: int) -> list[Trial]:
    running.start_controller()
    running.start_workers(n_workers)
    running.submit(TRAINING_STUDY, "training", n_trials, max_epochs)
    return running.wait("training")
