"""What the monitor knows so far: averages, lowest values and counters of one trial's curves."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from tunelab.training.arrays import StateDict
from tunelab.training.monitor.criteria import Criteria


@dataclass(slots=True)
class Average:
    """Exponential moving average with bias correction.

    For values x_1, x_2, ... and the smoothing s, with S_0 = 0::

        S_t = s * S_{t-1} + (1 - s) * x_t
        e_t = S_t / (1 - s^t)

    It is computed as e_t = e_{t-1} + (1 - s) / (1 - s^t) * (x_t - e_{t-1}), which is the same and
    stays exactly at x while x is constant: rounding must not look like an improvement.

    >>> average = Average()
    >>> average.add(1.0, smoothing=0.6), average.add(0.0, smoothing=0.6)
    (1.0, 0.375)
    """

    value: float = 0.0
    count: int = 0

    def add(self, x: float, smoothing: float) -> float:
        """Take in the next value and return the new average."""
        self.count += 1
        self.value += (1 - smoothing) / (1 - smoothing**self.count) * (x - self.value)
        return self.value


@dataclass(slots=True)
class Curves:
    """Everything the monitor remembers. Lowest values start at infinity.

    Attributes:
        baseline_loss: L0. Where it is 0 it gives no scale, and the first loss above 0 replaces it.
        epoch: The last epoch seen.
        validation, train: Averages of the losses; ``validation.value`` is e.
        cost: Average of the score, negated if it is maximised, so that lower is better.
        lowest: m, the minimum of e.
        recent_train: ``train.value`` of the last ``falling_epochs`` epochs and of the present one.
        wait: Epochs since the last improvement that counted.
        reference_loss: e when ``wait`` was last reset.
        reference_cost: ``cost.value`` when the score last reset ``wait``.
        best_epoch: The restore point; 0 while there is none.
        best_cost, best_loss, best_train: Cost and losses there.
        onset, onset_loss: Epoch and value of the lowest validation loss.
        lowest_train: The lowest training loss.
        overfitting_epochs: For how many epochs running GL was over its limit and train fell.
        runaway_epochs: For how many epochs running the training loss was over its limit and did
            not fall.
        late_loss: e at the plan's ``late_epoch``.
    """

    baseline_loss: float
    epoch: int = 0
    validation: Average = field(default_factory=Average)
    train: Average = field(default_factory=Average)
    cost: Average = field(default_factory=Average)
    lowest: float = math.inf
    recent_train: list[float] = field(default_factory=list)
    wait: int = 0
    reference_loss: float = math.inf
    reference_cost: float = math.inf
    best_epoch: int = 0
    best_cost: float = math.inf
    best_loss: float = math.inf
    best_train: float = math.inf
    onset: int = 0
    onset_loss: float = math.inf
    lowest_train: float = math.inf
    overfitting_epochs: int = 0
    runaway_epochs: int = 0
    late_loss: float = math.inf

    def add(self, criteria: Criteria, train: float, validation: float) -> None:
        """Take in the (finite) losses of ``self.epoch``."""
        if self.baseline_loss == 0.0:
            self.baseline_loss = max(train, validation, 0.0)
        e = self.validation.add(validation, criteria.smoothing)
        self.lowest = min(self.lowest, e)
        if validation < self.onset_loss:
            self.onset, self.onset_loss = self.epoch, validation
        self.lowest_train = min(self.lowest_train, train)

        recent = self.recent_train
        recent.append(self.train.add(train, criteria.smoothing))
        falling = False
        if len(recent) > criteria.falling_epochs:
            falling = recent[-1] < (1 - criteria.falling_delta) * recent[0]
            del recent[0]
        overfitting = falling and self.is_above_lowest(criteria.gl_limit, criteria.gl_floor)
        runaway = not falling and train > criteria.divergence_factor * self.baseline_loss
        self.overfitting_epochs = self.overfitting_epochs + 1 if overfitting else 0
        self.runaway_epochs = self.runaway_epochs + 1 if runaway else 0

    def is_above_lowest(self, percent: float, floor: float) -> bool:
        """Whether GL = 100 * (e - m) / max(m, floor * L0) > percent, where 0 / 0 is 0."""
        scale = max(self.lowest, floor * self.baseline_loss)
        return 100 * (self.validation.value - self.lowest) > percent * scale

    def add_to_best(self, cost: float, train: float, validation: float) -> bool:
        """Whether ``self.epoch`` is the new best: lower cost, or the same at a lower loss.

        A cost that is not a number never is.
        """
        is_best = cost < self.best_cost or (cost == self.best_cost and validation < self.best_loss)
        if is_best:
            self.best_epoch, self.best_cost = self.epoch, cost
            self.best_train, self.best_loss = train, validation
        return is_best

    def state_dict(self) -> StateDict:
        """All of it as JSON values; None stands for infinity."""
        return {name: None if x == math.inf else x for name, x in asdict(self).items()}

    @classmethod
    def from_state(cls, state: StateDict) -> Self:
        """The inverse of ``state_dict``.

        Raises:
            ValueError: If a name is missing or unknown.
        """
        expected = {item.name for item in fields(cls)}
        if state.keys() != expected:
            names = ", ".join(sorted(state.keys() ^ expected))
            raise ValueError(f"monitor state: missing or unknown {names}")
        values: StateDict = {name: math.inf if x is None else x for name, x in state.items()}
        for name in ("validation", "train", "cost"):
            values[name] = Average(**values[name])
        values["recent_train"] = list(values["recent_train"])
        return cls(**values)
