"""What an optimizer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np

from tunelab.training.arrays import Floats, StateDict

_STEPS_BETWEEN_ROUNDINGS = 64


class Optimizer(ABC):
    """Updates a flat vector of parameters in place from a gradient of the same shape.

    The contract:

    * The constructor takes the method's own settings and raises ValueError if one is out of range.
    * ``bind`` is called once, before the first step. It allocates everything a step needs.
    * ``step`` is given the learning rate: an optimizer owns no schedule and stops nothing.
    * What a step remembers lies in ``slots`` and ``counters`` and nowhere else, so that copying
      them and putting them back continues a run bit for bit.
    * Not safe for use by several threads or for several networks at once.

    Attributes:
        n_slots: How many numbers are remembered per parameter.
        slots: Shape (n_slots, n_params), in the parameters' type.
        counter_names: Names of the step counts that the next step depends on.
        counters: Their values.
    """

    n_slots: int
    slots: Floats
    counter_names: tuple[str, ...] = ()
    counters: dict[str, int]

    def bind(self, params: Floats, n_weights: int | None = None) -> Self:
        """Forget the past and allocate for parameters of this shape and type.

        Args:
            params: The network's flat vector, shape (n_params,).
            n_weights: ``params[:n_weights]`` are weights, the rest biases and the like, which
                weight decay leaves alone. None: all are weights.

        Raises:
            ValueError: If ``n_weights`` is not in 0..n_params.
        """
        self._n_weights = params.size if n_weights is None else n_weights
        if not 0 <= self._n_weights <= params.size:
            raise ValueError(f"n_weights must be in 0..{params.size}, got {n_weights}")
        self.slots = np.zeros((self.n_slots, *params.shape), params.dtype)
        self.counters = dict.fromkeys(self.counter_names, 0)
        precision = np.finfo(params.dtype)
        self._coarse = self._scalar(float(precision.tiny) * 1e8 / float(precision.eps))
        self._allocate(params)
        return self

    @abstractmethod
    def _allocate(self, params: Floats) -> None:
        """Create what ``step`` needs beside ``slots``: scratch arrays and names for the slots."""

    @abstractmethod
    def step(self, params: Floats, grads: Floats, learning_rate: float) -> None:
        """Update ``params`` in place. Both are the network's flat vectors, shape (n_params,)."""

    def state_dict(self) -> StateDict:
        """A copy of all that is remembered: ``slots`` and ``counters``."""
        return {"slots": self.slots.copy(), "counters": self.counters.copy()}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from ``state``. Raises ValueError if it belongs to another shape or method."""
        slots = np.asarray(state["slots"])
        if slots.shape != self.slots.shape:
            raise ValueError(f"slots must have shape {self.slots.shape}, got {slots.shape}")
        self.check_counters(state["counters"])
        np.copyto(self.slots, slots)
        self.counters = dict(state["counters"])

    def check_counters(self, counters: Mapping[str, int]) -> None:
        """Raise ValueError unless ``counters`` are those of this method."""
        if set(counters) != set(self.counter_names):
            raise ValueError(f"counters must be {self.counter_names}, got {tuple(counters)}")

    def _scalar(self, value: float = 0.0) -> Floats:
        """A number as an array without axes, in the parameters' type.

        A Python number would be converted in every call, which on a small network is a tenth of
        the update.
        """
        return np.array(value, self.slots.dtype)

    def _count_step(self) -> int:
        """The number of the step that begins, from 1. For methods whose slots decay.

        Where the gradient stays 0, as behind a dead unit, a slot would shrink into the denormal
        numbers and stay there, and arithmetic on those costs twice the time. So every 64 steps
        the slots are rounded to the last digit of one coarse number, by adding and subtracting it:
        to multiples of about 1e-30 in float32. That is too small for any step to tell, and large
        numbers do not change at all. What is small becomes 0, or stays a few units of that digit,
        which 64 steps at a share of 0.75 or more do not make denormal. Smaller shares pass the
        denormal numbers on the way to 0, within one such interval.
        """
        t = self.counters["t"] + 1
        self.counters["t"] = t
        if t % _STEPS_BETWEEN_ROUNDINGS == 0:
            self.slots += self._coarse
            self.slots -= self._coarse
        return t
