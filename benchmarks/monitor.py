"""What the overfitting monitor saves and what it costs, on curves recorded without it.

A study is run on each of six small tasks, every trial to the end of its budget, and every preset
is replayed over the recorded curves::

    python benchmarks/monitor.py [--sampler grid] [--trials 36] [--epochs 200] [--curves FILE.npz]

``grid``: 36 textbook configurations, three optimizers at usual rates x three schedules x two
widths x dropout or not. ``tpe``: what a study of the default space meets. ``random``: the same
space without learning, where a good part of the curves is chaotic (plain SGD at rates near 1) and
the mean regrets are those of a few such curves.

* *epochs*: share of the budget that is trained under the preset.
* *regret*: how much lower the validation loss would have become without stopping, in percent of
  the constant predictor's loss L0; over all trials, and over the best third of each task.
* *recall* and *precision* of the verdict ``overfitting``, and of ``diverged``, against labels that
  look at the whole curve: the last tenth of the validation losses lies more than 10 % above the
  lowest 5-epoch mean (and 0.5 % of L0) while the training loss fell further; or a loss was
  not finite or ended above 10 L0.

The peers in the same table are plain patience rules (no smoothing, no least improvement).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets import open_prepared
from tunelab.execution.backends import NumpyBackend
from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.spec.tables import GRID, SAMPLERS
from tunelab.storage.location import DATABASE_URL_VARIABLE
from tunelab.storage.schema import open_database
from tunelab.storage.studies import get_study
from tunelab.storage.trials import study_curves, study_trials
from tunelab.training.monitor import PRESETS, Signal, replay

TASKS = {
    "digits": ("digits", "classification", 0.0),
    "digits_noisy": ("digits", "classification", 0.2),
    "breast_cancer": ("breast_cancer", "classification", 0.0),
    "wine_noisy": ("wine", "classification", 0.1),
    "iris": ("iris", "classification", 0.0),
    "diabetes": ("diabetes", "regression", 0.0),
}


@dataclass(frozen=True)
class Curve:
    """One trial, trained to the end."""

    task: str
    train: npt.NDArray[np.float64]  # shape (n_epochs,); not finite once it has diverged
    validation: npt.NDArray[np.float64]
    rates: npt.NDArray[np.float64]
    baseline: float

    @property
    def lowest(self) -> float:
        """The lowest finite validation loss; inf if there is none."""
        finite = self.validation[np.isfinite(self.validation)]
        return float(finite.min()) if len(finite) else np.inf

    @property
    def diverged(self) -> bool:
        """Whether the whole curve says so."""
        last = self.train[-1]
        return not np.isfinite(self.validation).all() or bool(last > 10 * self.baseline)

    @property
    def overfits(self) -> bool:
        """Whether the whole curve says so."""
        if self.diverged:
            return False
        means = np.convolve(self.validation, np.ones(5) / 5, "valid")
        at = int(means.argmin())
        tail = max(1, len(self.validation) // 10)
        risen = self.validation[-tail:].mean() - means[at]
        fell = self.train[-tail:].mean() < self.train[at : at + 5].mean()
        return bool(risen > max(0.1 * means[at], 0.005 * self.baseline) and fell)


def record(n_trials: int, n_epochs: int, sampler: str) -> list[Curve]:
    """Run a study of every task without monitor and pruner, and read its curves."""
    curves: list[Curve] = []
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            curves += _study_curves(task, n_trials, n_epochs, sampler, Path(folder))
        print(f"recorded {task}: {n_trials} curves", flush=True)
    return curves


def _study_curves(
    task: str, n_trials: int, n_epochs: int, sampler: str, folder: Path
) -> list[Curve]:
    name, kind, noise = TASKS[task]
    source: dict[str, Any] = {"source": "sklearn", "name": name}
    if noise:
        source["label_noise"] = {"share": noise, "seed": 0}
    study_file = folder / "study.yaml"
    search = {"sampler": sampler, "pruner": "none", "trials": n_trials, "max_epochs": n_epochs}
    study = {"name": task, "task": kind, "data": source, "search": search}
    if sampler == GRID:
        study["space"] = _textbook(n_epochs)
    # JSON is YAML.
    study_file.write_text(json.dumps({**study, "monitor": {"preset": "off"}}))
    url = f"sqlite:///{folder / 'tunelab.db'}"
    subprocess.run(
        [sys.executable, "-m", "tunelab", "study", "start", study_file, "--no-mirror", "--json"],
        env={**os.environ, DATABASE_URL_VARIABLE: url},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    database = open_database(url)
    with database.read() as connection:
        row = get_study(connection, task)
        trials = study_trials(connection, row.id)
        epochs = study_curves(connection, {trial.id: 0 for trial in trials})
    n_train = open_prepared(Path(row.data_path)).n_train
    database.close()
    return [
        Curve(
            task,
            _padded([epoch.train_loss for epoch in epochs[trial.id]], n_epochs),
            _padded([epoch.validation_loss for epoch in epochs[trial.id]], n_epochs),
            np.array(
                NumpyBackend().planned_rates(
                    Hyperparameters.from_flat(trial.hyperparameters),
                    max_epochs=n_epochs,
                    n_train=n_train,
                )
            ),
            row.baseline_loss,
        )
        for trial in trials
    ]


def _textbook(n_epochs: int) -> dict[str, Any]:
    return {
        "optimizer": {
            "sgd": {"learning_rate": 0.1},
            "nesterov": {"learning_rate": 0.03, "momentum": 0.9},
            "adam": {"learning_rate": 1e-3},
        },
        "schedule": {
            "constant": {},
            "step_drop": {"factor": 0.5, "every": max(1, n_epochs // 5)},
            "cosine": {},
        },
        "units": [32, 256],
        "dropout_rate": [0.0, 0.3],
    }


def _padded(losses: list[float | None], n_epochs: int) -> npt.NDArray[np.float64]:
    """The losses, and NaN behind the end of a trial that diverged."""
    curve = np.full(n_epochs, np.nan)
    curve[: len(losses)] = [np.nan if loss is None else loss for loss in losses]
    return curve


@dataclass(frozen=True)
class Stop:
    """Where a rule stops a curve, and what it calls it."""

    epoch: int
    signal: Signal | None


Rule = Callable[[Curve], Stop]


def preset_rule(preset: str) -> Rule:
    """The monitor with a preset."""

    def stop(curve: Curve) -> Stop:
        verdict = replay(
            curve.train.tolist(),
            curve.validation.tolist(),
            curve.rates.tolist(),
            len(curve.rates),
            curve.baseline,
            preset,
        )
        return Stop(verdict.epoch, verdict.signal)

    return stop


def patience_rule(patience: int) -> Rule:
    """Stop once the lowest validation loss is ``patience`` epochs old."""

    def stop(curve: Curve) -> Stop:
        best, age = np.inf, 0
        for epoch, loss in enumerate(curve.validation, 1):
            best, age = (loss, 0) if loss < best else (best, age + 1)
            if age >= patience or not np.isfinite(loss):
                return Stop(epoch, None)
        return Stop(len(curve.validation), None)

    return stop


def report(name: str, rule: Rule, curves: list[Curve]) -> None:
    """One line of the table."""
    stops = [rule(curve) for curve in curves]
    epochs = [stop.epoch / len(curve.train) for stop, curve in zip(stops, curves, strict=True)]
    regrets, top = [], []
    for task in TASKS:
        pairs = [(c, s) for c, s in zip(curves, stops, strict=True) if c.task == task]
        pairs = [(c, s) for c, s in pairs if np.isfinite(c.lowest)]
        pairs.sort(key=lambda pair: pair[0].lowest)
        lost = []
        for curve, stop in pairs:
            seen = curve.validation[: stop.epoch]
            reached = seen[np.isfinite(seen)]
            worst = curve.baseline  # a rule that stops before any finite loss has nothing
            best = float(reached.min()) if len(reached) else worst
            lost.append(100 * (best - curve.lowest) / curve.baseline)
        regrets += lost
        top += lost[: max(1, len(lost) // 3)]
    line = f"{name:14s} {100 * np.mean(epochs):7.1f} {np.mean(regrets):6.2f}"
    line += f" {np.median(regrets):6.2f} {np.mean(top):8.2f} {np.median(top):6.2f}"
    for signal, label in ((Signal.OVERFITTING, "overfits"), (Signal.DIVERGED, "diverged")):
        said = np.array([stop.signal is signal for stop in stops])
        true = np.array([getattr(curve, label) for curve in curves])
        hits = int((said & true).sum())
        if stops[0].signal is None:
            line += f" {'':>9s} {'':>9s}"
        else:
            line += (
                f" {100 * hits / max(1, true.sum()):9.0f} {100 * hits / max(1, said.sum()):9.0f}"
            )
    print(line)


def main() -> None:
    """Record, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--sampler", choices=SAMPLERS, default=GRID)
    parser.add_argument(
        "--curves", type=Path, help="file to keep the curves in, or to take them from"
    )
    arguments = parser.parse_args()
    if arguments.curves and arguments.curves.exists():
        with np.load(arguments.curves) as stored:
            curves = [
                Curve(str(task), train, validation, rates, float(baseline))
                for task, (train, validation, rates), baseline in zip(
                    stored["task"], stored["losses"], stored["baseline"], strict=True
                )
            ]
    else:
        curves = record(arguments.trials, arguments.epochs, arguments.sampler)
        if arguments.curves:
            np.savez(
                arguments.curves,
                task=[curve.task for curve in curves],
                losses=[(curve.train, curve.validation, curve.rates) for curve in curves],
                baseline=[curve.baseline for curve in curves],
            )
    overfit, diverged = (sum(getattr(c, n) for c in curves) for n in ("overfits", "diverged"))
    print(f"{len(curves)} curves: {overfit} overfit, {diverged} diverge")
    print(f"{'':14s}          regret %        top third %     overfitting         diverged")
    print(f"{'':14s} epochs %  mean median     mean median    recall precision    recall precision")
    for preset in PRESETS:
        report(preset, preset_rule(preset), curves)
    for patience in (5, 10, 20, 50):
        report(f"patience {patience}", patience_rule(patience), curves)


if __name__ == "__main__":
    main()
