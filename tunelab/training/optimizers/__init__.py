"""Optimizers: a file a family, one dict of all that a study file may name."""

from tunelab.training.optimizers.adam import Adam
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.catalogue import OPTIMIZERS, make_optimizer
from tunelab.training.optimizers.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Optimizer", "make_optimizer"]
