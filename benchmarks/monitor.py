"""What the overfitting monitor saves and what it costs, on curves recorded without it.

Random configurations of the default space are trained to the end of their budget on six small
tasks, and every preset is replayed over the recorded curves::

    python benchmarks/monitor.py [--configurations 36] [--epochs 200] [--curves FILE.npz]

* *epochs*: share of the budget that is trained under the preset.
* *regret*: how much lower the validation loss would have become without stopping, in percent of
  the constant predictor's loss L0; over all trials, and over the best third of each task. The mean
  is that of a few chaotic curves, which no rule foresees; the median is what a trial loses.
* *recall* and *precision* of the verdict ``overfitting``, and of ``diverged``, against labels that
  look at the whole curve: the last tenth of the validation losses lies more than 10 % above the
  lowest 5-epoch mean (and 0.5 % of L0) while the training loss fell further; or a loss was
  not finite or ended above 10 L0.

The peers in the same table are plain patience rules (no smoothing, no least improvement).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets import load_training_data, prepare
from tunelab.execution.backends import NumpyBackend
from tunelab.spec.space import Choice, Dimension, Fixed, Value
from tunelab.spec.study import StudySpec
from tunelab.training.losses import baseline_loss
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


def record(n_configurations: int, n_epochs: int, seed: int) -> list[Curve]:
    """Train every configuration on every task, without stopping."""
    backend = NumpyBackend()
    curves = []
    for task, (name, kind, noise) in TASKS.items():
        source: dict[str, Any] = {"source": "sklearn", "name": name}
        if noise:
            source["label_noise"] = {"share": noise, "seed": 0}
        mapping = {
            "name": task,
            "task": kind,
            "data": source,
            "search": {"max_epochs": n_epochs},
        }
        with tempfile.TemporaryDirectory() as folder:
            spec = StudySpec.from_mapping(mapping)
            prepared = prepare(spec.data, spec.task, Path(folder))
            space = spec.resolve(prepared.n_train).search_space
            data = load_training_data(prepared)
            rng = np.random.default_rng(seed)
            for number in range(n_configurations):
                hyperparameters = space.configure(_drawn_by(rng))
                run = backend.start(
                    hyperparameters,
                    data,
                    max_epochs=n_epochs,
                    seed=number,
                    score=None,
                    state=None,
                    should_stop=lambda: False,
                )
                losses = np.array([(e.train_loss, e.validation_loss) for e in run])
                curves.append(
                    Curve(
                        task,
                        losses[:, 0],
                        losses[:, 1],
                        np.array(backend.planned_rates(hyperparameters, n_epochs)),
                        baseline_loss(data),
                    )
                )
        print(f"recorded {task}: {n_configurations} curves")
    return curves


def _drawn_by(rng: np.random.Generator) -> Callable[[str, Dimension], Value]:
    def draw(_name: str, dimension: Dimension) -> Value:
        if isinstance(dimension, Fixed):
            return dimension.value
        if isinstance(dimension, Choice):
            return dimension.values[rng.integers(len(dimension.values))]
        if dimension.optional and rng.random() < 0.5:
            return 0
        low, high = dimension.low, dimension.high
        if dimension.scale == "log":
            value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        elif dimension.scale == "reverse_log":
            value = 1 - float(np.exp(rng.uniform(np.log(1 - high), np.log(1 - low))))
        else:
            value = float(rng.uniform(low, high))
        return round(value) if isinstance(low, int) else value

    return draw


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
    parser.add_argument("--configurations", type=int, default=36)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
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
        curves = record(arguments.configurations, arguments.epochs, arguments.seed)
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
