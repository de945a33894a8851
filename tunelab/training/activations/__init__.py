"""Activation functions, each with its derivative beside it."""

from tunelab.training.activations.base import Activation
from tunelab.training.activations.catalogue import ACTIVATIONS

__all__ = ["ACTIVATIONS", "Activation"]
