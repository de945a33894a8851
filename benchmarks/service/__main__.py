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

Measured on two cores that did nothing else; single runs where nothing else is said:

================================================== ==================================== ====
figure                                             PostgreSQL                           bar
================================================== ==================================== ====
trials a second, 2 workers beside 1, 5 rounds      1.91 times (1.76 to 2.20)            1.9
two bare processes beside one, of these            1.94 times (1.90 to 1.98)
share of their time in which workers have a trial  98.7 to 99.0 %
commits a trial, trials of 0.9 s                   3.9                                  10
reading transactions a trial, rolled back: polls   8.9
trials of no time a second, 8 workers, 3 rounds    116, 132, 133                        50
lock errors, trials done twice                     0, 0                                 0
idle share of 100 workers, 5 s, random             2.1, 2.2, 2.6 %                      5
idle share of 100 workers, 5 s, tpe                1.7, 2.2, 5.0 %                      5
of it without a trial to be had, tpe               0.0 to 0.6 %
idle share of 100 workers, 2 s                     random 3.3 %, tpe 32 %
idle share of 200 workers, 5 s                     random 11 %, tpe 59 %
================================================== ==================================== ====

On SQLite 48, 65 and 79 trials of no time a second pass, without lock errors or trials done twice;
scaling was not measured there.

Where the limit lies: with the random sampler at the machine. The coordinator takes 5 ms of CPU a
trial, which would be 200 trials a second; 85 were measured, where the simulated workers took 23 ms
of CPU each on the same two cores. With TPE it is the coordinator, at some 35 to 40 trials a second:
20 ms a trial with up to 600 trials known and 100 under way, nearly all of it Optuna's arithmetic,
and more with every trial that is known.

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
