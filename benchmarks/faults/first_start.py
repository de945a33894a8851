"""The first start of all, killed while MLflow makes its database."""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks.faults.accounts import disagreements, row, unfinished
from benchmarks.faults.place import Place, listen
from tests.service.conftest import kill_group


def first_starts(place: Place, times: int) -> str:
    """``kill -9`` of all processes while MLflow migrates a new database; then the next start."""
    generator = random.Random(4)
    seconds = _creation_seconds(place)
    in_the_middle = not_opened = leftovers = 0
    numbers: dict[str, int] = {}
    for _ in range(times):
        folder = place.folder(100, mirrored=True)
        process = folder.start("--workers", "1")
        _wait_for(folder.path, "*mlflow.db*")
        time.sleep(generator.uniform(0.0, 1.1 * seconds))
        kill_group(process)
        in_the_middle += not (folder.path / "mlflow.db").exists()
        process = folder.start("--trials", "4", "--workers", "1")
        _, errors = listen(process).result(timeout=300)
        not_opened += process.returncode != 0 or "warning:" in errors
        leftovers += len(list(folder.path.glob(".mlflow.db*")))
        found = disagreements(folder) | {"unfinished": unfinished(folder)}
        numbers = {name: numbers.get(name, 0) + number for name, number in found.items()}
    return row(
        f"{times} kills within {1.1 * seconds:.1f} s, {in_the_middle} of them in mid-creation",
        not_opened=not_opened,
        leftovers=leftovers,
        **numbers,
    )


def _creation_seconds(place: Place) -> float:
    """How long it takes from the first file to a database that is complete."""
    folder = place.folder(100, mirrored=True)
    process = folder.start("--workers", "1")
    _wait_for(folder.path, "*mlflow.db*")
    began = time.monotonic()
    _wait_for(folder.path, "mlflow.db")
    seconds = time.monotonic() - began
    kill_group(process)
    return seconds


def _wait_for(folder: Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        if time.monotonic() > deadline:
            raise AssertionError(f"never there: {pattern}")
        time.sleep(0.002)
