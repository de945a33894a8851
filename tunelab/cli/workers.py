"""``worker run``: the service's workers, with a line for what happens to them; ``worker list``."""

from __future__ import annotations

import sys
import time
from typing import Any

from tunelab.cli.console import is_terminal, put, put_json, put_lines, tell, terminal_width
from tunelab.cli.formats import NOTHING, ago, instant
from tunelab.cli.serving import Serving
from tunelab.cli.tables import Column, tab_separated, table
from tunelab.service.stop import available_cores
from tunelab.service.summary import SCHEMA
from tunelab.service.worker_service import WorkerService
from tunelab.storage.engine import Database
from tunelab.storage.states import StudyState
from tunelab.storage.studies import get_study
from tunelab.storage.workers import WorkerRow, all_workers


def run_and_tell(name: str | None, n_workers: int | None, max_trials: int | None) -> int:
    """Run workers until they are told to leave or have nothing more to do.

    Args:
        name: The only study to serve; None: all that the service runs.
        n_workers: How many processes; None: one for each core.
        max_trials: How many trials they end in all; None: no limit.

    Returns:
        The exit code.

    Raises:
        NotFoundError: If there is no such study.
        DatabaseError: If the database cannot be opened.
    """
    serving = Serving()
    with serving.on_database() as database:
        study = None
        if name is not None:
            study = database.fetch(lambda connection: get_study(connection, name))
            if study.state is not StudyState.RUNNING:
                tell(f"{study.title} does not run: it is {study.state}")
                return 0
        n_workers = n_workers or available_cores()
        service = WorkerService(database, n_workers, study=study, max_trials=max_trials)
        serving.kill = service.kill
        for line in service.run(serving.should_leave):
            tell(line)
    return serving.exit_code


def show_workers(database: Database, *, as_json: bool) -> None:
    """Print all workers."""
    workers = database.fetch(all_workers)
    if as_json:
        put_json({"schema": SCHEMA, "workers": [_document(worker) for worker in workers]})
    elif is_terminal(sys.stdout):
        if not workers:
            tell("no workers; `tunelab worker run` starts some")
            return
        put_lines(table(_columns(workers, time.time()), terminal_width()))
    else:
        for line in tab_separated(_KEYS, (list(_document(worker).values()) for worker in workers)):
            put(line)


_KEYS = ["host", "pid", "state", "serves", "study", "trial", "started_at", "silent_seconds"]
_STYLES = {"training": "green", "idle": "", "silent": "yellow", "dead": "red"}


def _document(worker: WorkerRow) -> dict[str, Any]:
    started, silent = instant(worker.started_at), round(worker.silent_seconds, 1)
    values = [worker.owner.host_name, worker.owner.pid, worker.state, worker.serves]
    return dict(zip(_KEYS, [*values, worker.study, worker.trial, started, silent], strict=True))


def _columns(workers: list[WorkerRow], now: float) -> list[Column]:
    states = [worker.state for worker in workers]
    trials = [
        NOTHING if worker.study is None else f"{worker.trial} of {worker.study}"
        for worker in workers
    ]
    return [
        Column("HOST", [worker.owner.host_name for worker in workers]),
        Column("PROCESS", [str(worker.owner.pid) for worker in workers], right=True),
        Column("STATE", states, styles=[_STYLES[state] for state in states]),
        Column("TRIAL", trials, drop=1),
        Column("SERVES", [worker.serves or "the service" for worker in workers], drop=2),
        Column("JOINED", [ago(now - worker.started_at) for worker in workers], True, drop=4),
        Column("SEEN", [ago(worker.silent_seconds) for worker in workers], True, drop=3),
    ]
