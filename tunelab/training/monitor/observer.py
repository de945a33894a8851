"""The monitor itself: one verdict an epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from tunelab.errors import nearest
from tunelab.training.arrays import StateDict
from tunelab.training.monitor.criteria import PRESETS, Criteria
from tunelab.training.monitor.curves import Curves
from tunelab.training.monitor.plan import make_plan
from tunelab.training.monitor.reasons import Reasons
from tunelab.training.monitor.verdict import Signal, Suspicion, Verdict
from tunelab.training.records import EpochRecord

ScoreDirection = Literal["maximize", "minimize"]

_LEAST_SUSPICIOUS = 3  # epochs: curves of minibatch training are rough, one or two are no sign


class Monitor:
    """Watches the curves of one trial. It reads numbers and touches nothing.

    Each epoch, with L0, e and GL as in ``Criteria``:

    - **diverged**: a loss is not finite (stops at once, even in epoch 1; counts as no improvement,
      leaves the averages as they were and is never the best), or the training loss was above
      divergence_factor * L0 and not falling for divergence_epochs running. The latter is counted
      from epoch 1 and acted on after the warm-up.
    - **warming_up**: until the warm-up is over, the budget's end included.
    - **overfitting**: GL > gl_limit and the training loss falling held together for gl_epochs
      running (counted from epoch 1) and the best epoch is at least best_age old; or patience has
      run out with GL > gl_patience.
    - **plateau**: patience has run out otherwise. ``wait`` counts the epochs since e was last lower
      by more than min_delta * L0 than when it was last reset, from epoch 1, warm-up included: under
      a constant loss patience p ends after p checks, at epoch p + 1.
    - **unfinished**: epoch max_epochs, and e fell by more than unfinished_delta of its value since
      epoch max_epochs - max(1, round(unfinished_share * max_epochs)).
    - **underfitting**: training ends here (a stop, or epoch max_epochs) with the lowest training
      loss above underfitting_share * L0. Replaces plateau, unfinished and learning.
    - **learning** otherwise.

    The best epoch is that of the strictly lowest validation loss; ties keep the earliest. With a
    score as the objective it is that of the best score, ties broken by the lower validation loss.
    ``wait`` is then reset when the smoothed score is better by more than min_delta * score_scale
    than when the score last reset it, or when it is within that margin, better or worse, and e is
    lower by more than min_delta * L0 than at the last reset of either kind. A non-finite score
    counts as no improvement. Everything else stays on the losses.

    A verdict does not bind: ``observe`` may go on after a stop, and judges as before.

    Args:
        max_epochs: The budget, >= 1.
        baseline_loss: L0 > 0, the validation loss of the constant predictor. 0 is accepted (every
            validation target equals the constant) but gives no scale: the first loss above 0,
            training or validation, stands in for it.
        learning_rates: The planned rates of epochs 1.., each finite and >= 0. The monitor goes by
            these, not by the rate in the record. Where they end early, the last one holds on.
        criteria: The numbers to decide by.
        score_direction: Monitor the validation score, to be made large or small. None: monitor the
            validation loss.
        score_name: What the reasons call the score.
        score_scale: The score's unit for min_delta, > 0: 1 for an accuracy, the spread of the
            target for an error in original units.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        baseline_loss: float,
        learning_rates: Sequence[float],
        criteria: Criteria = PRESETS["default"],
        score_direction: ScoreDirection | None = None,
        score_name: str = "score",
        score_scale: float = 1.0,
    ) -> None:
        if not (math.isfinite(baseline_loss) and baseline_loss >= 0):
            raise ValueError(f"baseline_loss must be finite and at least 0, got {baseline_loss}")
        if score_direction not in (None, "maximize", "minimize"):
            raise ValueError(
                f"score_direction must be maximize, minimize or None, got {score_direction!r}"
            )
        if not (math.isfinite(score_scale) and score_scale > 0):
            raise ValueError(f"score_scale must be finite and above 0, got {score_scale}")
        self._max_epochs = max_epochs
        self._criteria = criteria
        self._plan = make_plan(criteria, max_epochs, learning_rates)
        self._score_direction = score_direction
        self._score_scale = float(score_scale)
        self._curves = Curves(baseline_loss=float(baseline_loss))
        name = "validation_loss" if score_direction is None else score_name
        scale = None if score_direction is None else self._score_scale
        self._reasons = Reasons(name, scale, criteria, self._plan)

    @property
    def best_epoch(self) -> int:
        """The epoch to restore; 0 while nothing finite was seen."""
        return self._curves.best_epoch

    @property
    def best_value(self) -> float | None:
        """The monitored value, validation loss or score, at the best epoch."""
        if self._curves.best_epoch == 0:
            return None
        cost = self._curves.best_cost
        return -cost if self._score_direction == "maximize" else cost

    def observe(self, record: EpochRecord) -> Verdict:
        """Judge the next epoch.

        Raises:
            ValueError: If ``record`` is not the epoch after the last one, lies beyond the budget,
                or lacks the score that is monitored.
        """
        self._check_next(record)
        curves, criteria = self._curves, self._criteria
        # Plain floats: NumPy's would neither go into JSON nor, as float32, keep enough digits.
        train, validation = float(record.train_loss), float(record.validation_loss)
        curves.epoch = record.epoch
        if not (math.isfinite(train) and math.isfinite(validation)):
            curves.wait += 1
            reason = self._reasons.not_finite(curves, train, validation, self.best_value)
            return self._verdict(Signal.DIVERGED, stop=True, is_best=False, reason=reason)

        curves.add(criteria, train, validation)
        if curves.epoch == self._plan.late_epoch:
            curves.late_loss = curves.validation.value
        cost = self._cost(record)
        is_best = curves.add_to_best(cost, train, validation)
        curves.wait = 0 if self._improved(cost) else curves.wait + 1

        signal, stop = self._judge()
        reason = self._reasons.sentence(signal, curves, train, validation, self.best_value)
        return self._verdict(signal, stop=stop, is_best=is_best, reason=reason)

    def state_dict(self) -> StateDict:
        """What was seen so far, as JSON values; not the arguments of the constructor."""
        return self._curves.state_dict()

    def load_state_dict(self, state: StateDict) -> None:
        """Go on where the monitor that gave ``state``, built with equal arguments, stood.

        Raises:
            ValueError: If ``state`` has a missing or unknown name.
        """
        self._curves = Curves.from_state(state)

    def _check_next(self, record: EpochRecord) -> None:
        if record.epoch != self._curves.epoch + 1:
            raise ValueError(
                f"epoch {self._curves.epoch + 1} must be observed next, got epoch {record.epoch}"
            )
        if record.epoch > self._max_epochs:
            raise ValueError(f"epoch must be at most max_epochs {self._max_epochs}, got one more")
        if self._score_direction is not None and record.validation_score is None:
            raise ValueError(f"epoch {record.epoch} must have a validation_score to monitor")

    def _cost(self, record: EpochRecord) -> float:
        """The monitored value with lower being better; nan where it is not finite."""
        if self._score_direction is None or record.validation_score is None:
            return float(record.validation_loss)
        score = float(record.validation_score)
        if not math.isfinite(score):
            return math.nan
        return -score if self._score_direction == "maximize" else score

    def _improved(self, cost: float) -> bool:
        """Whether this epoch resets ``wait``; moves the references if so."""
        curves, min_delta = self._curves, self._criteria.min_delta
        e = curves.validation.value
        loss_improved = curves.reference_loss - e > min_delta * curves.baseline_loss
        improved = loss_improved
        if self._score_direction is not None:
            if math.isnan(cost):
                return False
            gain = curves.reference_cost - curves.cost.add(cost, self._criteria.smoothing)
            margin = min_delta * self._score_scale
            improved = gain > margin or (gain >= -margin and loss_improved)
            if gain > margin:  # else it stays: a score must not creep down while the loss falls
                curves.reference_cost = curves.cost.value
        if improved:
            curves.reference_loss = e
        return improved

    def _judge(self) -> tuple[Signal, bool]:
        """The signal, and whether it stops the run, in order of precedence."""
        curves, criteria, plan = self._curves, self._criteria, self._plan
        epoch = curves.epoch
        if epoch <= plan.warm_up:
            return Signal.WARMING_UP, False
        if curves.runaway_epochs >= criteria.divergence_epochs:
            return Signal.DIVERGED, criteria.early_stopping
        out_of_patience = curves.wait >= plan.patience[epoch - 1]
        persists = (
            curves.overfitting_epochs >= criteria.gl_epochs
            and epoch - curves.best_epoch >= criteria.best_age
        )
        if persists or (out_of_patience and self._has_risen):
            return Signal.OVERFITTING, criteria.early_stopping

        stop = out_of_patience and criteria.early_stopping
        at_end = epoch == self._max_epochs
        if (stop or at_end) and self._has_learned_little:
            return Signal.UNDERFITTING, stop
        if out_of_patience:
            return Signal.PLATEAU, stop
        if at_end and plan.late_epoch:
            fell = curves.late_loss - curves.validation.value
            if fell > criteria.unfinished_delta * curves.late_loss:
                return Signal.UNFINISHED, False
        return Signal.LEARNING, False

    @property
    def _has_risen(self) -> bool:
        """Whether running out of patience now would be overfitting."""
        return self._curves.is_above_lowest(self._criteria.gl_patience, self._criteria.gl_floor)

    @property
    def _has_learned_little(self) -> bool:
        """Whether ending now would be underfitting."""
        curves = self._curves
        return curves.lowest_train > self._criteria.underfitting_share * curves.baseline_loss

    def _suspicion(self) -> Suspicion | None:
        """The stop that is nearest if the run goes on like this."""
        curves, criteria = self._curves, self._criteria
        signal = Signal.PLATEAU
        if self._has_risen:
            signal = Signal.OVERFITTING
        elif self._has_learned_little:
            signal = Signal.UNDERFITTING
        patience = Suspicion(signal, curves.wait, self._plan.patience[curves.epoch - 1])
        rise = Suspicion(Signal.OVERFITTING, curves.overfitting_epochs, criteria.gl_epochs)
        nearest_stop = max(patience, rise, key=lambda sign: sign.epochs / sign.limit)
        return nearest_stop if nearest_stop.epochs >= _LEAST_SUSPICIOUS else None

    def _verdict(self, signal: Signal, *, stop: bool, is_best: bool, reason: str) -> Verdict:
        curves = self._curves
        return Verdict(
            signal=signal,
            stop=stop,
            epoch=curves.epoch,
            best_epoch=curves.best_epoch,
            best_value=self.best_value,
            is_best=is_best,
            onset=curves.onset if signal is Signal.OVERFITTING else None,
            gap=curves.best_loss - curves.best_train if curves.best_epoch else None,
            reason=reason,
            suspicion=self._suspicion() if signal is Signal.LEARNING else None,
        )


def replay(
    train_losses: Sequence[float],
    validation_losses: Sequence[float],
    learning_rates: Sequence[float],
    max_epochs: int,
    baseline_loss: float,
    preset: str = "default",
) -> Verdict:
    """Judge recorded curves: the verdict that stops, or that of the last epoch.

    The sequences hold epochs 1.. of one run; its learning rates are taken as the planned ones.

    >>> train = [1 / epoch for epoch in range(1, 51)]
    >>> validation = [0.2 + max(loss, 0.02 * epoch) for epoch, loss in enumerate(train)]
    >>> verdict = replay(train, validation, [0.1] * 50, max_epochs=50, baseline_loss=1.0)
    >>> verdict.signal.value, verdict.stop, verdict.epoch, verdict.onset
    ('overfitting', True, 18, 8)
    >>> verdict.reason  # doctest: +NORMALIZE_WHITESPACE
    'validation_loss has not beaten 0.3400 (epoch 8) for 10 epochs
    while train_loss fell 0.1250 -> 0.05556'

    Raises:
        ValueError: If the sequences are empty, differ in length or exceed ``max_epochs``, if
            there is no such preset, or a number is out of range.
    """
    if preset not in PRESETS:
        meant = nearest(preset, list(PRESETS))
        hint = f"; did you mean {meant}?" if meant else ""
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}{hint}")
    lengths = len(train_losses), len(validation_losses), len(learning_rates)
    if len(set(lengths)) > 1 or not 1 <= lengths[0] <= max_epochs:
        raise ValueError(
            "train_losses, validation_losses and learning_rates must be equally long, "
            f"with 1 to max_epochs = {max_epochs} values, got {lengths}"
        )
    monitor = Monitor(
        max_epochs=max_epochs,
        baseline_loss=baseline_loss,
        learning_rates=learning_rates,
        criteria=PRESETS[preset],
    )
    curves = zip(train_losses, validation_losses, learning_rates, strict=True)
    for epoch, (train_loss, validation_loss, learning_rate) in enumerate(curves, start=1):
        record = EpochRecord(
            epoch, train_loss, validation_loss, learning_rate, gradient_norm=0.0, seconds=0.0
        )
        verdict = monitor.observe(record)
        if verdict.stop:
            break
    return verdict
