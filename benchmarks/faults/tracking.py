"""An MLflow that is killed, absent, refusing or silent while a study runs."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.faults.accounts import disagreements, row, unfinished
from benchmarks.faults.place import Place, listen
from benchmarks.faults.tracking_server import TrackingServer
from tests.service.conftest import Folder
from tests.service.unhelpful import hanging, refusing

_AFTERWARDS_SECONDS = 60  # for which the study goes on when MLflow is back
_SYNC_SECONDS = 900.0
_ALLOWED_RATIO = 1.05

# How MLflow fails at a port -> what stands there instead.
_ABSENCES: dict[str, Callable[[int], AbstractContextManager[object]]] = {
    "closed port": lambda _port: contextlib.nullcontext(),
    "403": lambda port: refusing(403, port),
    "500": lambda port: refusing(500, port),
    "silence": hanging,
}


def tracking(place: Place, times: int) -> str:
    """MLflow's server is killed in mid-study, is away for ``times`` seconds, and comes back."""
    folder = place.folder(1_000_000, mirrored=True, max_epochs=400)
    with contextlib.closing(_server(folder)) as server:
        server.start()
        process = folder.start("--workers", "2", "--timeout", f"{times + _AFTERWARDS_SECONDS}s")
        said = listen(process)
        _wait_until_mirrored(folder)
        server.kill()
        time.sleep(times)
        server.start()
        still_running = process.poll() is None
        _, errors = said.result(timeout=600)
        before = disagreements(folder)
        numbers = _sync(folder) | _trials(folder)
    (n_trials,) = folder.sql("SELECT count(*) FROM trials")
    left = sum(number for name, number in before.items() if name.endswith("missing"))
    return row(
        f"away {times} s, {n_trials[0]} trials, exit {process.returncode}, "
        f"{left} runs and points left to sync",
        ended_too_soon=int(not still_running),
        warnings_missing=max(0, 1 - errors.count("warning: MLflow at")),
        warnings_repeated=max(0, errors.count("warning:") - 1),
        tracebacks=errors.count("Traceback"),
        **numbers,
    )


def trackings(place: Place, times: int) -> str:
    """Nothing of use is ever at MLflow's address, until the study has ended."""
    numbers: dict[str, int] = dict.fromkeys(("warnings_missing", "warnings_repeated"), 0)
    for _, absence in itertools.product(range(times), _ABSENCES.values()):
        folder = place.folder(20, mirrored=True)
        with contextlib.closing(_server(folder)) as server:
            with absence(server.port):
                _, errors = listen(folder.start("--workers", "2")).result(timeout=300)
            server.start()
            found = _sync(folder) | _trials(folder)
        found["warnings_missing"] = max(0, 1 - errors.count("warning: MLflow at"))
        found["warnings_repeated"] = max(0, errors.count("warning:") - 1)
        found["tracebacks"] = errors.count("Traceback")
        for name, number in found.items():
            numbers[name] = numbers.get(name, 0) + number
    return row(f"{', '.join(_ABSENCES)}, {times} times each", **numbers)


def tracking_time(place: Place, times: int) -> str:
    """The time of a study while MLflow is reachable, and while its server is dead, in turns.

    One worker, so that the same seed means the same trials, and the mirror has a core to itself.
    """
    seconds = {True: 0.0, False: 0.0}
    for number in range(times):
        for reachable in (True, False) if number % 2 else (False, True):
            folder = place.folder(24, mirrored=True, max_epochs=400)
            with contextlib.closing(_server(folder)) as server:
                server.start()
                process = folder.start("--workers", "1")
                said = listen(process)
                _wait_until_mirrored(folder)
                if not reachable:
                    server.kill()
                said.result(timeout=600)
            ((took,),) = folder.sql("SELECT running_seconds FROM studies")
            seconds[reachable] += took
    ratio = seconds[False] / seconds[True]
    return row(
        f"{times} pairs of {seconds[True] / times:.1f} s each, without MLflow {ratio:.3f} of that",
        above_5_percent=int(ratio > _ALLOWED_RATIO),
    )


def _wait_until_mirrored(folder: Folder) -> None:
    folder.wait_for("SELECT count(*) > 0 FROM mirror_runs WHERE trial_id IS NOT NULL", 120)


def _server(folder: Folder) -> TrackingServer:
    server = TrackingServer(folder.path)
    folder.variables["MLFLOW_TRACKING_URI"] = server.url
    return server


def _sync(folder: Folder) -> dict[str, int]:
    """What is wrong in MLflow after a sync, and what a second one has changed all the same."""
    folder.tunelab("tracking", "sync", timeout=_SYNC_SECONDS)
    numbers = disagreements(folder)
    (study,) = folder.json("tracking", "sync", timeout=_SYNC_SECONDS)["studies"]
    return {**numbers, "second_sync": sum(study["repaired"].values())}


def _trials(folder: Folder) -> dict[str, int]:
    ((failed,),) = folder.sql("SELECT count(*) FROM trials WHERE end_reason = 'failed'")
    return {"failed": failed, "unfinished": unfinished(folder)}
