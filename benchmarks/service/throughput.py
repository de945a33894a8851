"""How many trials that cost nothing pass through the service in a second."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report, report_least
from benchmarks.service.processes import IDLE_STUDY, Service, Trial, service

N_WORKERS = 8


def measure_throughput(place: Place, n_trials: int, n_rounds: int) -> None:
    """Trials a second, beside what must be 0: lock errors, and trials done twice."""
    rates, troubles, doubles = [], 0, 0
    with service(place) as running:
        running.start_controller()
        running.start_workers(N_WORKERS)
        for round_ in range(n_rounds):
            running.submit(IDLE_STUDY, f"idle-{round_}", n_trials, max_epochs=1)
            trials = running.wait(f"idle-{round_}")
            rates.append(n_trials / (max(t.ended for t in trials) - min(t.began for t in trials)))
            doubles += count_doubles(running, trials, n_trials)
        running.leave()
        troubles = running.n_troubles()
    told = ", ".join(f"{rate:.0f}" for rate in rates)
    report_least("trials a second", float(np.median(rates)), "", 50, f"of {told}")
    report("lock errors", troubles, "", 0)
    report("trials done twice", doubles, "", 0)


def count_doubles(running: Service, trials: list[Trial], n_trials: int) -> int:
    """Trials that were claimed again, whose epochs do not fit them, or that are too many.

    Two claims of one moment would both count as the first: the part ``hundred`` counts runs.
    """
    wrong = running.folder.sql(
        "SELECT count(*) FROM trials WHERE n_epochs <> "
        "(SELECT count(*) FROM epochs WHERE trial_id = trials.id)"
    )[0][0]
    return sum(trial.attempts - 1 for trial in trials) + int(wrong) + abs(len(trials) - n_trials)
