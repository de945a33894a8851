"""A PostgreSQL server that crashes, is away and cuts its sessions."""

from __future__ import annotations

import signal
import time

from sqlalchemy import make_url

from benchmarks.faults.accounts import acknowledged, row, unfinished
from benchmarks.faults.place import Place, listen
from tunelab.storage.outages import OUTAGE_SECONDS

_ONLY_FOR_A_SERVER = "only for a server"
_PASSWORD = "s3cret"  # it is asked for none, and must not repeat it


def outages(place: Place, times: int) -> str:
    """The PostgreSQL server crashes, is away for ``times`` seconds, and comes back."""
    if place.server is None:
        return _ONLY_FOR_A_SERVER
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


def long_outages(place: Place, times: int) -> str:
    """The server is away for longer than anybody waits; then it is back and the study goes on."""
    if place.server is None:
        return _ONLY_FOR_A_SERVER
    wrong_exit = unnamed = passwords = lost = rest = tracebacks = 0
    seconds = 0.0
    for _ in range(times):
        folder = place.folder(60)
        url = make_url(folder.variables["TUNELAB_DATABASE_URL"]).set(password=_PASSWORD)
        folder.variables["TUNELAB_DATABASE_URL"] = url.render_as_string(hide_password=False)
        process = folder.start("--workers", "2")
        said = listen(process)
        folder.wait_for_finished(5)
        seen = acknowledged(folder)
        place.server.stop(signal.SIGQUIT)
        began = time.monotonic()
        try:
            output, errors = said.result(timeout=OUTAGE_SECONDS + 60)
        finally:
            process.kill()
            place.server.start()
        seconds = max(seconds, time.monotonic() - began)
        wrong_exit += process.returncode != 4
        (*_, told) = [line for line in errors.splitlines() if line.startswith("error: ")] or [""]
        unnamed += f"database {url.database} on {url.host}:{url.port}" not in told
        logs = [path.read_text() for path in (folder.path / ".tunelab/logs").glob("*.log")]
        passwords += sum(_PASSWORD in text for text in (output, errors, *logs))
        tracebacks += sum("Traceback" in text for text in (output, errors, *logs))
        folder.tunelab("study", "start", "small.yaml")
        lost += len(seen - acknowledged(folder))
        rest += unfinished(folder)
    return row(
        f"{times} times away for good, left within {seconds:.0f} s",
        wrong_exit=wrong_exit,
        unnamed=unnamed,
        passwords=passwords,
        tracebacks=tracebacks,
        epochs_lost=lost,
        unfinished=rest,
    )


def cuts(place: Place, times: int) -> str:
    """All sessions of a study are cut every 2 seconds, for ``times`` seconds."""
    if place.server is None:
        return _ONLY_FOR_A_SERVER
    folder = place.folder(1_000_000)
    database = make_url(folder.variables["TUNELAB_DATABASE_URL"]).database
    process = folder.start("--workers", "2", "--timeout", f"{times + 20}s")
    said = listen(process)
    folder.wait_for_finished(2)
    seen: set[tuple[int, int]] = set()
    n_cut = 0
    deadline = time.monotonic() + times
    while time.monotonic() < deadline:
        seen |= acknowledged(folder)
        with place.server.connect() as session:
            cut = session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND application_name = 'tunelab'",
                (database,),
            )
            n_cut += len(cut.fetchall())
        time.sleep(2.0)
    _, errors = said.result(timeout=120)
    rows = folder.sql("SELECT number, end_reason, lost_leases FROM trials ORDER BY number")
    return row(
        f"{n_cut} sessions cut in {times} s, {len(rows)} trials, exit {process.returncode}",
        epochs_lost=len(seen - acknowledged(folder)),
        workers_dead=errors.count("a worker ended"),
        taken_for_dead=sum(lost for _, _, lost in rows),
        failed=sum(end_reason == "failed" for _, end_reason, _ in rows),
        unfinished=unfinished(folder),
        gaps=int([number for number, _, _ in rows] != list(range(len(rows)))),
        tracebacks=errors.count("Traceback"),
    )
