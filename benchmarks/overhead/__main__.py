"""What a trial costs besides its training, and what grows with a study: counted, beside its bars.

A backend that does nothing runs trials of at most 30 epochs with the median pruner and the random
sampler. Coordinator and worker run as threads of this process, so that its CPU time and its
database events are all there is. From the repository's root, with the test extra installed::

    python -m benchmarks.overhead [PART ...] [--database sqlite postgresql] [--trials N]

* *trials*: commits, statements and CPU time of a trial, beside Optuna's own storage doing the same.
* *growth*: CPU time of a trial after 3000 others, beside that after 200.
* *mirror*: CPU time of the mirror, and its requests to an MLflow server, counted by a proxy.
* *resume*: how long a coordinator takes to go on with 3000 finished trials.
* *show*: what ``study show`` and ``study list`` of 10,000 trials ask the database for.

Counts are exact; a ``*`` marks what is above its bar. Times are CPU times, medians of rounds, and
depend on the machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from benchmarks.faults.place import Place, places
from benchmarks.overhead.mirror import measure_mirror
from benchmarks.overhead.reading import measure_resume, measure_show
from benchmarks.overhead.trials import measure_growth, measure_trials


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    kinds = ["sqlite", "postgresql"]
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--database", nargs="+", choices=kinds, default=kinds[:1])
    parser.add_argument("--trials", type=int, default=200, help="of the parts trials and mirror")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()
    with places(arguments.database) as all_places:
        for name in arguments.parts or PARTS:
            for place in all_places:
                print(f"{name}, {place.kind}", flush=True)
                PARTS[name](place, arguments)


PARTS: dict[str, Callable[[Place, argparse.Namespace], None]] = {
    "trials": lambda place, given: measure_trials(
        place, given.trials, given.rounds, with_peer=not given.no_peer and place.server is None
    ),
    "growth": lambda place, given: measure_growth(place, 2 * given.rounds + 1),
    "mirror": lambda place, given: measure_mirror(place, given.trials),
    "resume": lambda place, given: measure_resume(place, given.rounds),
    "show": lambda place, given: measure_show(place, given.rounds),
}


if __name__ == "__main__":
    main()
