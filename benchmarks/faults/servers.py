"""A PostgreSQL server that crashes, is away and cuts its sessions."""

from __future__ import annotations

import signal
import time

from benchmarks.faults.accounts import acknowledged, row
from benchmarks.faults.place import Place


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
