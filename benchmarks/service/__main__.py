"""What the service carries: workers, commits, trials a second.

TABLE
"""

from __future__ import annotations

import argparse
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
