"""What a study loses when its processes and servers are killed, frozen, stopped and cut off.

Each experiment does to real processes, many times over, what may happen to them once a year, and
counts what came of it. From the repository's root, with the test extra installed::

    python -m benchmarks.faults [EXPERIMENT ...] [--database sqlite postgresql] [--times N]

The experiments: ``kills``, ``repeats``, ``starts``, ``claims``, ``freezes``, ``signals``,
``outages``. Every row ends in the numbers that should be 0, and in ``ok`` if they are.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.postgresql import Databases, Server
from tests.service.conftest import Folder, kill_group
from tests.storage.conftest import run_together

Experiment = Callable[["Place", int], str]

STUDY = """\
name: small
task: classification
data: {source: sklearn, name: digits}
search: {sampler: SAMPLER, trials: TRIALS, max_epochs: 40, seed: 3}
space:
  optimizer: [momentum, adam]
  schedule: [constant, cosine]
  layers: [1, 2]
  units: [32, 128]
  dropout_rate: [0.0, 0.2]
  learning_rate: [0.01]
  batch_size: 32
monitor: {preset: "off"}
"""


class Place:
    """Where experiments run: fresh folders, and databases of one kind."""

    def __init__(self, kind: str, root: Path, server: Server | None) -> None:
        self.kind = kind
        self.server = server
        self._root = root
        self._n_folders = 0
        self._databases = Databases(server.url("postgres")) if server else None

    def url(self, folder: Path) -> str:
        """A new, empty database."""
        if self._databases is not None:
            return self._databases.create()
        return f"sqlite:///{folder / 'tunelab.db'}"

    def folder(self, n_trials: int, *, sampler: str = "random", mirrored: bool = False) -> Folder:
        """A working directory with a study file."""
        self._n_folders += 1
        folder = Folder(self._root / f"{self.kind}-{self._n_folders}")
        if self._databases is not None:
            folder.variables["TUNELAB_DATABASE_URL"] = self.url(folder.path)
        folder.variables["TUNELAB_MIRROR"] = "yes" if mirrored else "no"
        text = STUDY.replace("TRIALS", str(n_trials)).replace("SAMPLER", sampler)
        folder.study_file.write_text(text)
        return folder


def processes(root: subprocess.Popen[str]) -> dict[str, list[int]]:
    """The living processes of one ``study start`` by their part."""
    found: dict[str, list[int]] = {"coordinator": [root.pid], "worker": [], "mirror": []}
    for item in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            command = (item / "cmdline").read_bytes().decode(errors="replace")
            if os.getpgid(int(item.name)) != root.pid:
                continue
            for part, module in (("worker", "execution.worker"), ("mirror", "service.mirror")):
                if f"tunelab.{module}\0" in command:
                    found[part].append(int(item.name))
    return found


def acknowledged(folder: Folder) -> set[tuple[int, int]]:
    """The epochs that are stored at this moment: (trial number, epoch)."""
    query = "SELECT number, epoch FROM epochs JOIN trials ON trials.id = trial_id"
    with contextlib.suppress(Exception):  # there is no database yet
        return {(number, epoch) for number, epoch in folder.sql(query)}
    return set()


def kills(place: Place, times: int) -> str:
    """``kill -9`` of workers, coordinator and mirror at random moments of one study."""
    generator = random.Random(0)
    parts = dict.fromkeys(("coordinator", "worker", "mirror"), 0)
    folder = place.folder(40, mirrored=True)
    n_trials = 40
    seen: set[tuple[int, int]] = set()
    while sum(parts.values()) < times:
        process = folder.start("--workers", "2", "--trials", str(n_trials))
        while process.poll() is None:
            time.sleep(generator.uniform(0.2, 2.0))
            if sum(parts.values()) == times:
                kill_group(process)
                break
            part = generator.choice(["worker", "worker", "coordinator", "mirror"])
            there = processes(process)[part]
            if not there or process.poll() is not None:
                continue
            seen |= acknowledged(folder)
            with contextlib.suppress(ProcessLookupError):
                os.kill(generator.choice(there), signal.SIGKILL)
                parts[part] += 1
            if part == "coordinator":
                process.wait()
        process.communicate()
        n_trials += 40 if process.returncode == 0 else 0
    folder.tunelab("study", "start", "small.yaml")
    rows = folder.sql("SELECT number, state, end_reason FROM trials ORDER BY number")
    told = ", ".join(f"{part} {number}" for part, number in parts.items())
    failed = sum(end_reason == "failed" for _, _, end_reason in rows)
    return row(
        f"{times} kills ({told}), {len(rows)} trials, {failed} failed after three lost workers",
        epochs_lost=len(seen - acknowledged(folder) - _cut_short(folder)),
        trials_stuck=sum(state != "finished" for _, state, _ in rows),
        gaps=int([number for number, _, _ in rows] != list(range(len(rows)))),
        **disagreements(folder),
    )


def _cut_short(folder: Folder) -> set[tuple[int, int]]:
    """Epochs behind the end of a trial whose later attempt met a stricter limit."""
    query = "SELECT number, n_epochs FROM trials WHERE attempts > 1"
    ends = dict(folder.sql(query))
    return {(number, epoch) for number, end in ends.items() for epoch in range(end + 1, 41)}


def disagreements(folder: Folder) -> dict[str, int]:
    """What MLflow shows otherwise than the study database."""
    import sqlite3

    with contextlib.closing(sqlite3.connect(folder.path / "mlflow.db")) as mlflow:
        runs = mlflow.execute(
            "SELECT tags.value, runs.status, runs.run_uuid FROM runs JOIN tags ON "
            "tags.run_uuid = runs.run_uuid AND tags.key = 'tunelab.trial' "
            "WHERE runs.lifecycle_stage = 'active'"
        ).fetchall()
        points = mlflow.execute(
            "SELECT run_uuid, count(*), count(DISTINCT step) FROM metrics "
            "WHERE key = 'loss/validation' GROUP BY run_uuid"
        ).fetchall()
    of_run = {run: (n, distinct) for run, n, distinct in points}
    stored = dict(
        folder.sql(
            "SELECT number, count(validation_loss) FROM trials JOIN epochs "
            "ON trials.id = trial_id GROUP BY number"
        )
    )
    numbers = [int(number) for number, _, _ in runs]
    return {
        "runs_twice": len(numbers) - len(set(numbers)),
        "runs_missing": len(set(stored) - set(numbers)),
        "runs_open": sum(status == "RUNNING" for _, status, _ in runs),
        "points_missing": sum(
            max(0, stored.get(int(number), 0) - of_run.get(run, (0, 0))[1])
            for number, _, run in runs
        ),
        "points_twice": sum(n - distinct for n, distinct in of_run.values()),
    }


def table_hash(folder: Folder) -> str:
    """Of everything that must repeat: trials and curves, not times and owners."""
    trials = folder.sql(
        "SELECT number, CAST(hyperparameters AS TEXT), seed, end_reason, value, best_epoch, "
        "n_epochs, reason FROM trials ORDER BY number"
    )
    curves = folder.sql(
        "SELECT number, epoch, train_loss, validation_loss, validation_score, gradient_norm "
        "FROM epochs JOIN trials ON trials.id = trial_id ORDER BY number, epoch"
    )
    return hashlib.sha256(json.dumps([trials, curves], default=str).encode()).hexdigest()


def repeats(place: Place, times: int) -> str:
    """One seed and one worker: a study that is killed again and again, and one that is not."""
    generator = random.Random(1)
    different = n_kills = 0
    samplers = ("tpe", "random", "qmc", "grid")
    for sampler in samplers:
        n_trials = 16  # the cells of the grid
        quiet = place.folder(n_trials, sampler=sampler)
        quiet.tunelab("study", "start", "small.yaml", "--workers", "1")
        hashes = {table_hash(quiet)}
        killed = place.folder(n_trials, sampler=sampler)
        for number in range(times):
            process = killed.start("--workers", "1")
            time.sleep(generator.uniform(1.5, 4.0))
            if process.poll() is not None:
                process.communicate()
                break
            workers = processes(process)["worker"]
            if number % 2 and workers:
                os.kill(workers[0], signal.SIGKILL)
                time.sleep(generator.uniform(0.5, 2.0))
            kill_group(process)
            n_kills += 1
        killed.tunelab("study", "start", "small.yaml", "--workers", "1")
        hashes.add(table_hash(killed))
        different += len(hashes) - 1
    return row(f"{n_kills} kills over {', '.join(samplers)}", different=different)


START = """
from tunelab.storage.schema import open_database

def work(url):
    database = open_database(url)
    with database.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM studies")
    database.close()
    return 1
"""


def starts(place: Place, times: int) -> str:
    """16 processes open one empty database at the same moment."""
    began = 0
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            began += sum(run_together(START, 16, place.url(Path(folder))))
    return row(f"{began} of {16 * times} started", failed=16 * times - began)


CLAIM = """
from tunelab.storage.claims import claim_next
from tunelab.storage.owners import Owner
from tunelab.storage.outages import Patience
from tunelab.storage.schema import open_database

def work(url, study):
    database = open_database(url)
    database.patience = Patience(30)
    taken = []
    while True:
        claim = database.attempt(lambda c: claim_next(c, int(study), Owner.this_process()))
        if claim is None:
            database.close()
            return taken
        taken.append(claim.number)
"""


def claims(place: Place, times: int) -> str:
    """6 processes claim 60 waiting trials."""
    from tunelab.storage.rungs import RungLimits
    from tunelab.storage.schema import open_database
    from tunelab.storage.studies import create_study
    from tunelab.storage.trials import NewTrial, insert_trials

    double = missing = 0
    values: dict[str, Any] = dict.fromkeys(("spec_hash", "data_digest", "data_path"), "")
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            url = place.url(Path(folder))
            database = open_database(url)
            with database.write() as connection:
                study = create_study(
                    connection,
                    name="claims",
                    spec={},
                    baseline_loss=1.0,
                    n_trials=60,
                    timeout_seconds=None,
                    **values,
                )
                new = [NewTrial(number, {}, {}, 0, RungLimits()) for number in range(60)]
                insert_trials(connection, study.id, new)
            database.close()
            taken = [number for own in run_together(CLAIM, 6, url, str(study.id)) for number in own]
            double += len(taken) - len(set(taken))
            missing += 60 - len(set(taken))
    return row(f"6 claimers, 60 trials, {times} times", double=double, missing=missing)


def freezes(place: Place, times: int) -> str:
    """A worker is frozen, its lease runs out, another finishes the trial, and it wakes up.

    The minute of the grace is taken off the lease's expiry, so that it need not be waited for.
    """
    folder = place.folder(10_000)
    process = folder.start("--workers", "2")
    folder.wait_for_finished(2)
    taken = dead = 0
    tries = 0
    while taken < times and tries < 5 * times:
        tries += 1
        running = folder.sql("SELECT id, owner, token, n_epochs FROM trials WHERE state='running'")
        if not running:
            continue
        key, owner, token, _ = running[0]
        pid = json.loads(owner)["pid"]
        os.kill(pid, signal.SIGSTOP)
        still = folder.sql("SELECT token FROM trials WHERE id = ? AND state = 'running'", key)
        if still != [(token,)]:
            os.kill(pid, signal.SIGCONT)
            continue
        _execute(folder, f"UPDATE trials SET expires_at = expires_at - 61 WHERE id = {int(key)}")
        folder.wait_for(f"SELECT state = 'finished' FROM trials WHERE id = {int(key)}")
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        dead += not Path(f"/proc/{pid}").exists()
        taken += 1
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    logs = "".join(log.read_text() for log in (folder.path / ".tunelab/logs").glob("*worker*"))
    refused = logs.count("its result is not counted")
    results = folder.sql("SELECT count(*), count(DISTINCT number) FROM trials")[0]
    return row(
        f"{taken} frozen, {refused} late results refused",
        not_refused=taken - refused,
        workers_dead=dead,
        doubled=results[0] - results[1],
    )


def _execute(folder: Folder, statement: str) -> None:
    from tunelab.storage.engine import Database

    url = folder.variables.get("TUNELAB_DATABASE_URL") or f"sqlite:///{folder.path}/tunelab.db"
    database = Database(url)
    with database.write() as connection:
        connection.exec_driver_sql(statement)
    database.close()


def signals(place: Place, times: int) -> str:
    """SIGTERM and SIGINT at random moments; then the study goes on."""
    generator = random.Random(2)
    seconds: list[float] = []
    wrong = running = tracebacks = 0
    folder = place.folder(10_000)
    for number in range(times):
        process = folder.start("--workers", "2")
        time.sleep(generator.uniform(0.3, 5.0))
        sent = (signal.SIGTERM, signal.SIGINT)[number % 2]
        began = time.monotonic()
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        seconds.append(time.monotonic() - began)
        # Before the program has begun the signal itself ends it; a shell shows 128 + N for both.
        wrong += process.returncode not in (128 + sent, -sent)
        tracebacks += "Traceback" in errors
        with contextlib.suppress(Exception):  # there is no database yet
            running += folder.sql("SELECT count(*) FROM trials WHERE state = 'running'")[0][0]
    blamed = folder.sql("SELECT count(*) FROM trials WHERE lost_leases > 0")[0][0]
    return row(
        f"{times} signals: left within {np.percentile(seconds, 95):.2f} s (p95), "
        f"{max(seconds):.2f} s (most)",
        wrong_exit=wrong,
        tracebacks=tracebacks,
        still_running=running,
        blamed=blamed,
        over_5_s=sum(second > 5 for second in seconds),
    )


def outages(place: Place, times: int) -> str:
    """The PostgreSQL server crashes, is away for ``times`` seconds, and comes back."""
    if place.server is None:
        return "only for a server"
    folder = place.folder(60)
    process = folder.start("--workers", "2")
    folder.wait_for_finished(5)
    seen = acknowledged(folder)
    place.server.stop(signal.SIGQUIT)
    time.sleep(times)
    alive = process.poll() is None
    place.server.start()
    _, errors = process.communicate(timeout=300)
    rows = folder.sql("SELECT state, lost_leases FROM trials")
    return row(
        f"away for {times} s, exit {process.returncode}",
        died=int(not alive),
        epochs_lost=len(seen - acknowledged(folder)),
        unfinished=sum(state != "finished" for state, _ in rows),
        taken_for_dead=sum(lost for _, lost in rows),
        tracebacks=errors.count("Traceback"),
    )


EXPERIMENTS: dict[str, tuple[Experiment, int]] = {
    "kills": (kills, 100),
    "repeats": (repeats, 10),
    "starts": (starts, 20),
    "claims": (claims, 20),
    "freezes": (freezes, 20),
    "signals": (signals, 50),
    "outages": (outages, 60),
}
"""Name -> the experiment, and how often (outages: for how many seconds)."""


def row(what: str, **zeros: int) -> str:
    """What was done, and the numbers that should be 0."""
    told = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in zeros.items())
    return f"{what}: {told}  {'*' if any(zeros.values()) else 'ok'}"


@contextlib.contextmanager
def places(kinds: list[str]) -> Iterator[list[Place]]:
    """A place for each kind of database."""
    root = Path(tempfile.mkdtemp(prefix="tunelab-faults-"))
    server = None
    try:
        if "postgresql" in kinds:
            (root / "server").mkdir()
            server = Server(root / "server")
            server.start()
        yield [Place(kind, root, server if kind == "postgresql" else None) for kind in kinds]
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)


def main() -> None:
    """Do and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("experiments", nargs="*", choices=[*EXPERIMENTS, []], default=[])
    kinds = ["sqlite", "postgresql"]
    parser.add_argument("--database", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--times", type=int, help="in the place of each experiment's own number")
    arguments = parser.parse_args()
    with places(arguments.database) as all_places:
        for name in arguments.experiments or EXPERIMENTS:
            experiment, times = EXPERIMENTS[name]
            for place in all_places:
                began = time.monotonic()
                told = experiment(place, arguments.times or times)
                seconds = time.monotonic() - began
                print(f"{name:8} {place.kind:10} {told}  [{seconds:.0f} s]", flush=True)


if __name__ == "__main__":
    main()
