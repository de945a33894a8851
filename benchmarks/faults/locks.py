"""An SQLite database whose write lock another program holds."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from benchmarks.faults.accounts import acknowledged, row, unfinished
from benchmarks.faults.place import Place, listen
from tunelab.storage.sqlite import BUSY_TIMEOUT_SECONDS


def locks(place: Place, times: int) -> str:
    """Another program holds the write lock for ``times`` seconds in mid-run.

    Shorter than a writer waits, nothing but time is lost; longer, the study may end with one
    sentence, and goes on with the next start.
    """
    if place.kind != "sqlite":
        return "only for a file"
    folder = place.folder(60)
    process = folder.start("--workers", "2")
    said = listen(process)
    folder.wait_for_finished(5)
    seen = acknowledged(folder)
    began = time.monotonic()
    with contextlib.closing(sqlite3.connect(folder.path / "tunelab.db", timeout=30)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(times)
        other.rollback()
    _, errors = said.result(timeout=300)
    seconds = time.monotonic() - began
    allowed = (0,) if times < BUSY_TIMEOUT_SECONDS else (0, 4)
    told = [line for line in errors.splitlines() if line.startswith("error: ")]
    gone_on = acknowledged(folder)
    if process.returncode:
        folder.tunelab("study", "start", "small.yaml")
    ((lost_leases, failed),) = folder.sql(
        "SELECT sum(lost_leases), sum(end_reason = 'failed') FROM trials"
    )
    return row(
        f"held for {times} s, exit {process.returncode} after {seconds:.0f} s",
        wrong_exit=int(process.returncode not in allowed),
        unsaid=int(bool(process.returncode) and "locked by another process" not in errors),
        more_than_said=max(0, len(told) - 1),
        epochs_lost=len((seen | gone_on) - acknowledged(folder)),
        taken_for_dead=lost_leases,
        failed=failed,
        unfinished=unfinished(folder),
        tracebacks=errors.count("Traceback"),
    )
