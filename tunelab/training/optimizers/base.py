"""What an optimizer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from tunelab.training.arrays import Floats, StateDict


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

    def bind(self, params: Floats) -> Self:
        """Forget the past and allocate for parameters of this shape and type."""
        self.slots = np.zeros((self.n_slots, *params.shape), params.dtype)
        self.counters = dict.fromkeys(self.counter_names, 0)
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
        """Continue from ``state``. Raises ValueError if it belongs to another shape."""
        slots = np.asarray(state["slots"])
        if slots.shape != self.slots.shape:
            raise ValueError(f"slots must have shape {self.slots.shape}, got {slots.shape}")
        np.copyto(self.slots, slots)
        self.counters = dict(state["counters"])
