"""Processes that are killed, frozen and told to leave."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.faults.accounts import acknowledged, disagreements, row, table_hash
from benchmarks.faults.place import Place, listen
from tests.service.conftest import Folder, kill_group


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


def freezes(place: Place, times: int) -> str:
    """A worker is frozen, its lease runs out, another finishes the trial, and it wakes up.

    The minute of the grace is taken off the lease's expiry, so that it need not be waited for. A
    worker that is frozen while it writes keeps an SQLite file locked, and nobody can go on: that
    is another fault (``locks``), and such a worker is woken at once.
    """
    folder = place.folder(10_000)
    process = folder.start("--workers", "2")
    said = listen(process)
    folder.wait_for_finished(2)
    taken = dead = 0
    deadline = time.monotonic() + 30 * times
    while taken < times and time.monotonic() < deadline:
        running = folder.sql("SELECT id, owner, token, n_epochs FROM trials WHERE state='running'")
        if not running:
            continue
        key, owner, token, _ = running[0]
        pid = json.loads(owner)["pid"]
        os.kill(pid, signal.SIGSTOP)
        still = folder.sql("SELECT token FROM trials WHERE id = ? AND state = 'running'", key)
        if still != [(token,)] or _is_locked(folder):
            os.kill(pid, signal.SIGCONT)
            continue
        _execute(folder, f"UPDATE trials SET expires_at = expires_at - 61 WHERE id = {int(key)}")
        folder.wait_for(f"SELECT state = 'finished' FROM trials WHERE id = {int(key)}")
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
        dead += not Path(f"/proc/{pid}").exists()
        taken += 1
    process.send_signal(signal.SIGTERM)
    said.result(timeout=30)
    logs = "".join(log.read_text() for log in (folder.path / ".tunelab/logs").glob("*worker*"))
    refused = logs.count("its result is not counted")
    results = folder.sql("SELECT count(*), count(DISTINCT number) FROM trials")[0]
    return row(
        f"{taken} frozen, {refused} late results refused",
        not_refused=taken - refused,
        workers_dead=dead,
        doubled=results[0] - results[1],
    )


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


def _cut_short(folder: Folder) -> set[tuple[int, int]]:
    """Epochs behind the end of a trial whose later attempt met a stricter limit."""
    query = "SELECT number, n_epochs FROM trials WHERE attempts > 1"
    ends = dict(folder.sql(query))
    return {(number, epoch) for number, end in ends.items() for epoch in range(end + 1, 41)}


def _is_locked(folder: Folder) -> bool:
    if "TUNELAB_DATABASE_URL" in folder.variables:
        return False
    with contextlib.closing(sqlite3.connect(folder.path / "tunelab.db", timeout=1)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False


def _execute(folder: Folder, statement: str) -> None:
    from tunelab.storage.engine import Database

    url = folder.variables.get("TUNELAB_DATABASE_URL") or f"sqlite:///{folder.path}/tunelab.db"
    database = Database(url)
    with database.write() as connection:
        connection.exec_driver_sql(statement)
    database.close()
