"""Backends: what turns a configuration into a training run."""

from tunelab.execution.backends.base import Backend, Run
from tunelab.execution.backends.numpy_backend import NumpyBackend

BACKENDS: dict[str, type[Backend]] = {"numpy": NumpyBackend}

__all__ = ["BACKENDS", "Backend", "NumpyBackend", "Run"]
