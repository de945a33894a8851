"""What a study loses when its processes and servers are killed, frozen, stopped and cut off.

Each experiment does to real processes, many times over, what may happen to them once a year, and
counts what came of it. From the repository's root, with the test extra installed::

    python -m benchmarks.faults [EXPERIMENT ...] [--database sqlite postgresql] [--times N]

The experiments: of processes ``kills``, ``repeats``, ``starts``, ``claims``, ``freezes``,
``signals``; of a server ``outages``, ``long_outages``, ``cuts``; of disks and files ``full_disks``,
``read_only_disks``, ``full_log_disks``, ``deletions``, ``damages``, ``locks``, ``long_locks``; of
MLflow ``tracking``, ``trackings``, ``tracking_time``, ``first_starts``; of numbers ``divergence``.
Every row ends in the numbers that should be 0, and in ``ok`` if they are.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from benchmarks.faults.disks import damages, deletions, full_disks, full_log_disks, read_only_disks
from benchmarks.faults.divergence import divergence
from benchmarks.faults.first_start import first_starts
from benchmarks.faults.locks import locks
from benchmarks.faults.place import Experiment, places
from benchmarks.faults.processes import freezes, kills, repeats, signals
from benchmarks.faults.servers import cuts, long_outages, outages
from benchmarks.faults.together import claims, starts
from benchmarks.faults.tracking import tracking, tracking_time, trackings

EXPERIMENTS: dict[str, tuple[Experiment, int]] = {
    "kills": (kills, 100),
    "repeats": (repeats, 10),
    "starts": (starts, 20),
    "claims": (claims, 20),
    "freezes": (freezes, 20),
    "signals": (signals, 50),
    "outages": (outages, 60),
    "long_outages": (long_outages, 1),
    "cuts": (cuts, 60),
    "full_disks": (full_disks, 5),
    "read_only_disks": (read_only_disks, 5),
    "full_log_disks": (full_log_disks, 3),
    "deletions": (deletions, 5),
    "damages": (damages, 5),
    "locks": (locks, 40),
    "long_locks": (locks, 90),
    "tracking": (tracking, 300),
    "trackings": (trackings, 1),
    "tracking_time": (tracking_time, 5),
    "first_starts": (first_starts, 30),
    "divergence": (divergence, 50),
}
"""Name -> the experiment, and how often; for how many seconds: outages, cuts, locks, long_locks,
tracking; how many trials: divergence."""


def main() -> None:
    """Do and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("experiments", nargs="*", choices=[*EXPERIMENTS, []], default=[])
    kinds = ["sqlite", "postgresql"]
    parser.add_argument("--database", nargs="+", choices=kinds, default=kinds)
    parser.add_argument("--times", type=int, help="in the place of each experiment's own number")
    arguments = parser.parse_args()
    # Also when it is ended from outside, disks are unmounted and servers are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with places(arguments.database) as all_places:
        for name in arguments.experiments or EXPERIMENTS:
            experiment, times = EXPERIMENTS[name]
            for place in all_places:
                began = time.monotonic()
                told = experiment(place, arguments.times or times)
                seconds = time.monotonic() - began
                print(f"{name:15} {place.kind:10} {told}  [{seconds:.0f} s]", flush=True)


if __name__ == "__main__":
    main()
