"""A verdict in one sentence with its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tunelab.training.monitor.criteria import Criteria
from tunelab.training.monitor.curves import Curves
from tunelab.training.monitor.plan import Plan
from tunelab.training.monitor.verdict import Signal


@dataclass(frozen=True)
class Reasons:
    """Writes the sentences.

    ``name`` is what the monitored value is called, ``score_scale`` a score's unit for min_delta;
    None where the loss is monitored.
    """

    name: str
    score_scale: float | None
    criteria: Criteria
    plan: Plan

    def not_finite(
        self, curves: Curves, train: float, validation: float, best_value: float | None
    ) -> str:
        """Why a loss that is not finite ended the run."""
        both = (("train_loss", train), ("validation_loss", validation))
        name, value = next((name, x) for name, x in both if not math.isfinite(x))
        where = f"{name} was {value} at epoch {curves.epoch}"
        return f"{where}; {self._best(curves, best_value)}"

    def sentence(
        self,
        signal: Signal,
        curves: Curves,
        train: float,
        validation: float,
        best_value: float | None,
    ) -> str:
        """Why ``signal`` was given at ``curves.epoch``, whose losses are the finite ones given."""
        epoch, baseline = curves.epoch, curves.baseline_loss
        if signal is Signal.LEARNING:
            return (
                f"{self._averaged} last improved at epoch {epoch - curves.wait}, "
                f"{curves.wait} of {self.plan.patience[epoch - 1]} epochs of patience used; "
                f"{self._best(curves, best_value)}"
            )
        if signal is Signal.WARMING_UP:
            return (
                f"epoch {epoch} of {self.plan.warm_up} epochs of warm-up: "
                f"train_loss {number(train)}, validation_loss {number(validation)}"
            )
        if signal is Signal.OVERFITTING:
            return self._overfitting(curves, train, best_value)
        if signal is Signal.PLATEAU:
            scale = baseline if self.score_scale is None else self.score_scale
            return (
                f"{self._averaged} has not improved by more than "
                f"{number(self.criteria.min_delta * scale)} for {epochs(curves.wait)}; "
                f"{self._best(curves, best_value)}"
            )
        if signal is Signal.UNDERFITTING:
            return (
                f"train_loss never fell below {number(curves.lowest_train)} in {epochs(epoch)}, "
                f"more than {self.criteria.underfitting_share:g} of the baseline loss "
                f"{number(baseline)}"
            )
        if signal is Signal.UNFINISHED:
            return (
                f"the budget of {epochs(epoch)} ended while validation_loss still fell "
                f"{number(curves.late_loss)} -> {number(curves.validation.value)} "
                f"(smoothed) since epoch {self.plan.late_epoch}"
            )
        return (
            f"train_loss was {number(train)} at epoch {epoch} and has not fallen for "
            f"{epochs(curves.runaway_epochs)} above {self.criteria.divergence_factor:g} times the "
            f"baseline loss {number(baseline)}; {self._best(curves, best_value)}"
        )

    def _overfitting(self, curves: Curves, train: float, best_value: float | None) -> str:
        age = curves.epoch - curves.best_epoch
        if best_value is None or age == 0:  # it is the average that has not come back down
            e, m = number(curves.validation.value), number(curves.lowest)
            return (
                f"validation_loss, smoothed, is {e}, above its lowest {m}, and "
                f"{self._averaged} has not improved for {epochs(curves.wait)}"
            )
        way = "fell" if train < curves.best_train else "went"
        return (
            f"{self.name} has not beaten {number(best_value)} (epoch {curves.best_epoch}) "
            f"for {epochs(age)} while train_loss {way} {number(curves.best_train)} "
            f"-> {number(train)}"
        )

    @property
    def _averaged(self) -> str:
        """What patience watches: the best epoch is that of the values themselves."""
        return f"{self.name}, smoothed," if self.criteria.smoothing > 0 else self.name

    def _best(self, curves: Curves, best_value: float | None) -> str:
        if best_value is None:
            return f"no finite {self.name} before"
        return f"best {number(best_value)} (epoch {curves.best_epoch})"


def epochs(count: int) -> str:
    """A count of epochs in words: 1 epoch, 20 epochs."""
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def number(x: float) -> str:
    """Four significant digits.

    >>> number(0.9), number(1234.5), number(2e-7)
    ('0.9000', '1234', '2.000e-07')
    """
    return f"{x:#.4g}".rstrip(".")
