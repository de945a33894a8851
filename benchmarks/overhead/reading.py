"""How long it takes to read a large study: when it is resumed, shown and listed."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report
from benchmarks.overhead.study import coordinate, extend, make_study
from tunelab.storage.location import DATABASE_URL_VARIABLE

N_RESUMED = 3000
N_SHOWN = 10_000

# In a process of its own, as the command is: every statement is compiled for the first time.
QUERIES = {
    "show": """
import sys, time
from tunelab.cli.result import read_result
from tunelab.storage.schema import open_database
from tunelab.storage.studies import get_study
with open_database(sys.argv[1], create=False).read() as connection:
    connection.exec_driver_sql("SELECT 1")
    began = time.process_time()
    read_result(connection, get_study(connection, "overhead"))
    print(time.process_time() - began)
""",
    "list": """
import sys, time
from tunelab.service.summary import summarize
from tunelab.storage.schema import open_database
from tunelab.storage.studies import all_studies
with open_database(sys.argv[1], create=False).read() as connection:
    connection.exec_driver_sql("SELECT 1")
    began = time.process_time()
    [summarize(connection, study) for study in all_studies(connection)]
    print(time.process_time() - began)
""",
}
COMMANDS = {"show": ["study", "show", "overhead"], "list": ["study", "list"]}


def measure_resume(place: Place, n_rounds: int) -> None:
    """From nothing to the end of the coordinator's first tick, which proposes the next trials."""
    for sampler in ("random", "tpe"):
        cpu, wall = [], []
        for _ in range(n_rounds):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                database, study = make_study(
                    folder,
                    place.url(folder),
                    n_trials=N_RESUMED,
                    sampler=sampler,
                    n_filled=N_RESUMED,
                )
                study = extend(database, study, N_RESUMED + 100)
                began = time.process_time(), time.perf_counter()
                coordinate(database, study).tick()
                cpu.append(time.process_time() - began[0])
                wall.append(time.perf_counter() - began[1])
                database.close()
        clock = f"{np.median(wall):.2f} s by the clock"
        report(f"{N_RESUMED} trials, {sampler}", float(np.median(cpu)), "s", 2.0, clock)


def measure_show(place: Place, n_rounds: int) -> None:
    """CPU time of what ``study show`` and ``study list`` ask for; and the whole commands."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = place.url(folder)
        database, _ = make_study(folder, url, n_trials=N_SHOWN, n_filled=N_SHOWN)
        database.close()
        for what, script in QUERIES.items():
            queries, commands = [], []
            for _ in range(n_rounds):
                result = subprocess.run(
                    [sys.executable, "-c", script, url], capture_output=True, check=True, text=True
                )
                queries.append(1e3 * float(result.stdout))
                commands.append(1e3 * _command_seconds(COMMANDS[what], folder, url))
            whole = f"the whole command {np.median(commands):.0f} ms CPU"
            report(f"study {what}, {N_SHOWN} trials", float(np.median(queries)), "ms", 100, whole)


def _command_seconds(words: list[str], folder: Path, url: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "tunelab", *words],
        env={**os.environ, DATABASE_URL_VARIABLE: url},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
