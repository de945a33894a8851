"""What the report on a study costs: CPU time and size, with imports, as the command is run.

Rows of a study are planted, 40 epochs for each trial that completes, and ``tunelab study report``
is run in a process of its own, beside one that only loads what the report draws with. From the
repository's root, with the test extra installed::

    python -m benchmarks.report [--trials 500] [--rounds 3]

A ``*`` marks what is above its bar: 15 s of CPU, 8 MB; 0.5 MB for the light page.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.service.planted import Fate, Planter, bowl
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.schema import open_database
from tunelab.storage.states import EndReason

MOST_CPU = 15.0
IMPORTS = "import jinja2, optuna.importance, optuna.visualization, plotly.graph_objects, sqlalchemy"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(folder, arguments.trials)
        loaded = statistics.median(
            cpu([sys.executable, "-c", IMPORTS], folder) for _ in range(arguments.rounds)
        )
        print(f"libraries alone  {loaded:6.2f} s CPU")
        for option, most_bytes in (("", 8_000_000), ("--light", 500_000)):
            command = [sys.executable, "-m", "tunelab", "study", "report", "planted"]
            command += [option] if option else []
            seconds = statistics.median(cpu(command, folder) for _ in range(arguments.rounds))
            size = (folder / "planted-report.html").stat().st_size
            print(
                f"{option or 'report':16} {seconds:6.2f} s CPU{mark(seconds, MOST_CPU)} "
                f"{seconds / loaded:5.1f} x libraries {size / 1e6:7.2f} MB{mark(size, most_bytes)}"
            )


def plant(folder: Path, n_trials: int) -> None:
    """A study of every end, confirmed, in ``folder``."""
    database = open_database(f"sqlite:///{folder / 'tunelab.db'}")
    planter = Planter(database, n_trials)
    planter.grow(_fate)
    planter.confirm(lambda _: 0.3, noise=0.02)
    database.close()


def cpu(command: list[str], folder: Path) -> float:
    """CPU seconds of a command and of its children."""
    environment = {
        **os.environ,
        DATABASE_URL_VARIABLE: f"sqlite:///{folder / 'tunelab.db'}",
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def mark(value: float, most: float) -> str:
    """A star for what is above its bar."""
    return "*" if value > most else " "


def _fate(number: int, flat: Mapping[str, Any]) -> Fate:
    if flat["learning_rate"] > 0.4:
        return Fate(None, EndReason.DIVERGED, "diverged", n_epochs=3)
    if number % 3 == 1:
        return Fate(bowl(flat) + 0.1, EndReason.PRUNED, "learning", n_epochs=10)
    signal = "overfitting" if flat["units"] > 250 else "plateau"
    return Fate(bowl(flat), signal=signal, n_epochs=40)


if __name__ == "__main__":
    main()
