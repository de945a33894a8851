"""Optimizers: a file a family, one dict of all that a study file may name."""

from tunelab.training.optimizers.adadelta import AdaDelta
from tunelab.training.optimizers.adagrad import AdaGrad
from tunelab.training.optimizers.adam import Adam
from tunelab.training.optimizers.adamw import AdamW
from tunelab.training.optimizers.base import Optimizer
from tunelab.training.optimizers.catalogue import OPTIMIZERS, make_optimizer
from tunelab.training.optimizers.nadam import NAdam
from tunelab.training.optimizers.rmsprop import RMSprop
from tunelab.training.optimizers.sgd import SGD

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "AdaDelta",
    "AdaGrad",
    "Adam",
    "AdamW",
    "NAdam",
    "Optimizer",
    "RMSprop",
    "make_optimizer",
]
