"""What the service carries: workers, commits, trials a second.

A PostgreSQL server on this machine, which writes what it says it has written (``fsync``), a
controller and workers as the processes that they are, no mirror. From the repository's root, with
the test extra installed::

    python -m benchmarks.service [PART ...] [--database postgresql sqlite] [--rounds N]

* *scaling*: trials a second of two workers beside those of one, in turns; and the same of two bare
  processes that do such arithmetic, which is what the machine has to give.
* *commits*: what the server counts as committed, and what the transactions of a trial are.
* *throughput*: 400 trials of one epoch of 120 rows, eight workers: trials a second, lock errors,
  and trials done twice.
* *hundred*: workers that are threads and sleep in the place of training, all else being the
  product's own; their time between a trial and the next, from when all have one until the last is
  claimed. Then more workers and shorter trials, to see where it ends.

Measured on two cores that others used as well, at a load between 4 and 13, so most times say more
about the machine than about the service; single runs where nothing else is said:

================================================== ================= ====
figure                                             PostgreSQL        bar
================================================== ================= ====
trials a second, 2 workers beside 1, quiet         1.61, 1.67 times  1.9
two bare processes beside one, of these            1.92, 1.97 times
share of their time in which workers have a trial  97.6 to 99.1 %
commits a trial, trials of 2 s                     4.8               10
reading transactions a trial, rolled back: polls   18
trials of no time a second, 8 workers, 3 rounds    97, 106, 110      50
lock errors, trials done twice                     0, 0              0
idle share of 100 workers, 5 s, random             2.5, 6.2, 10.0 %  5
of it without a trial to be had                    0.0 to 0.8 %
idle share of 100 workers, 2 s, random             5.0 %
idle share of 100 workers, 5 s, tpe                18 %              5
================================================== ================= ====

A worker has a trial for 98.5 % of its time in either case, but with two at work a trial takes
1.06 s instead of 0.89 s. Two studies that share nothing but the machine slow each other by some
12 %, measured once; the bare arithmetic, whose arrays stay in a core's own cache, does not show it.
A profiler was attached at the 6.2 %; another study ran beside the 10.0 %. On SQLite 48, 65 and 79
trials of no time a second pass, without lock errors or trials done twice; scaling was not measured
there. Of 200 workers with trials of 5 s and tpe, 64 % idle.

Where the limit lies: with the random sampler not at the coordinator. It takes 4 to 7 ms of CPU a
trial, which would be some 150 trials a second; 48 were measured, where the simulated workers took
18 ms of CPU each on the same two cores. With TPE it is the coordinator: it takes 40 ms a trial,
nearly all of it Optuna's arithmetic, with up to 600 trials known and 100 under way. That would be
25 trials a second with a core of its own; with the share of one that it had here, it was 16.

A ``*`` marks what misses its bar. A worker holds two sessions, its own and its beat's: a server
for a hundred needs ``max_connections`` above 200.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

from benchmarks.faults.place import Place, places
from benchmarks.service.hundred import measure_hundred
from benchmarks.service.throughput import measure_throughput
from benchmarks.service.training import measure_commits, measure_scaling

SETTINGS = {
    "fsync": "on",
    "max_connections": 500,  # a worker has two: its own and its beat's
    "log_min_messages": "error",
    "log_line_prefix": "%m %p %a|",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = ["postgresql", "sqlite"]
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--database", nargs="+", choices=kinds, default=kinds[:1])
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--trials", type=int, default=30, help="of the parts scaling and commits")
    parser.add_argument("--sampler", nargs="+", default=["random", "tpe"], help="of hundred")
    arguments = parser.parse_args()
    # Also when it is ended from outside, the server is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with places(arguments.database, SETTINGS) as all_places:
        for name in arguments.parts or PARTS:
            for place in all_places:
                if name in _ONLY_FOR_A_SERVER and place.server is None:
                    continue
                print(f"{name}, {place.kind}", flush=True)
                PARTS[name](place, arguments)


PARTS: dict[str, Callable[[Place, argparse.Namespace], None]] = {
    "scaling": lambda place, given: measure_scaling(place, given.trials, given.rounds),
    "commits": lambda place, given: measure_commits(place, given.trials),
    "throughput": lambda place, given: measure_throughput(place, 400, given.rounds),
    "hundred": lambda place, given: measure_hundred(place, given.sampler),
}
_ONLY_FOR_A_SERVER = ("commits", "hundred")


if __name__ == "__main__":
    main()
