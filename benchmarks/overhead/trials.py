"""What a trial costs its worker and coordinator, beside Optuna's storage; and how that grows."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.place import Place
from benchmarks.overhead.report import report
from benchmarks.overhead.study import (
    N_EPOCHS,
    Counter,
    extend,
    make_study,
    run,
)
from tunelab.storage.trials import study_trials

SIZES = (200, 3000)
_BLOCK = 50  # trials that a study of either size is continued by, in turns


def measure_trials(place: Place, n_trials: int, n_rounds: int, *, with_peer: bool) -> None:
    """Commits and statements of a study; CPU time beside the peer's, in turns."""
    ours, waited, peers = [], [], []
    for round_ in range(n_rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            database, study = make_study(folder, place.url(folder), n_trials=n_trials)
            counter = Counter(database.engine)
            spent = run(database, study)
            ours.append(spent.cpu / n_trials * 1e3)
            waited.append(spent.worker / n_trials * 1e3)
            if round_ == 0:
                with database.read() as connection:
                    rows = study_trials(connection, study.id)
                n_epochs = np.mean([row.n_epochs for row in rows])
                print(
                    f"  {n_trials} trials of {n_epochs:.1f} of {N_EPOCHS} epochs, "
                    f"{len(rows[0].hyperparameters)} hyperparameters; "
                    f"{n_trials / spent.wall:.0f} trials/s"
                )
                # The seconds of a trial are the study's: there is one worker.
                report("commits a trial", counter.commits / n_trials, "", 2 + spent.wall / n_trials)
                report("statements a trial", counter.statements / n_trials, "", 20)
            database.close()
            if with_peer:
                cpu, counted = run_optuna(folder, n_trials)
                peers.append(cpu / n_trials * 1e3)
    # Bars of time are for SQLite.
    bar = 5.0 if place.server is None else None
    report("CPU a trial that its worker waits for", float(np.median(waited)), "ms", bar)
    report("CPU a trial, the coordinator's with it", float(np.median(ours)), "ms", bar)
    if peers:
        report("Optuna's storage: CPU a trial", float(np.median(peers)), "ms")
        report("Optuna's storage: commits", counted.commits / n_trials, "")
        report("Optuna's storage: statements", counted.statements / n_trials, "")
        ratio = np.median([theirs / own for theirs, own in zip(peers, ours, strict=True)])
        report("Optuna's storage: times our CPU", float(ratio), "")


def run_optuna(folder: Path, n_trials: int) -> tuple[float, Counter]:
    """The same with Optuna's own SQLite storage, reporting at the rungs only: its CPU seconds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.MedianPruner(5, 10, n_min_trials=3),
    )
    counter = Counter(storage.engine)
    began = time.process_time()
    for _ in range(n_trials):
        trial = study.ask()
        levels = [trial.suggest_float(f"hyperparameter_{i}", 0.0, 0.5) for i in range(12)]
        value = pruned = None
        for epoch in (10, 20):
            value = levels[0] + 1 / epoch
            trial.report(value, epoch)
            if trial.should_prune():
                pruned = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, None if pruned else value, state=pruned)
    spent = time.process_time() - began
    storage.engine.dispose()
    return spent, counter


def measure_growth(place: Place, n_rounds: int) -> None:
    """CPU time of a trial in a study of 200 trials and in one of 3000, in turns."""
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as name:
        studies: dict[int, Any] = {}
        for size in SIZES:
            folder = Path(name) / str(size)
            folder.mkdir()
            studies[size] = make_study(folder, place.url(folder), n_trials=size, n_filled=size)
        for round_ in range(n_rounds + 1):
            for size, (database, study) in studies.items():
                study = extend(database, study, size + (round_ + 1) * _BLOCK)
                cpu = run(database, study).cpu / _BLOCK * 1e3
                if round_:  # the first is a warm-up
                    spent[size].append(cpu)
        for database, _ in studies.values():
            database.close()
    few, many = (float(np.median(spent[size])) for size in SIZES)
    for size, milliseconds in zip(SIZES, (few, many), strict=True):
        report(f"CPU a trial after {size} trials", milliseconds, "ms")
    ratios = [b / a for a, b in zip(*spent.values(), strict=True)]
    report("growth", float(np.median(ratios)), "x", 1.3)
