"""Losses: what training minimises and the monitor watches."""

from tunelab.training.losses.base import Loss
from tunelab.training.losses.catalogue import (
    CLASS_WEIGHTS,
    baseline_loss,
    class_shares,
    loss_names,
    make_loss,
)
from tunelab.training.losses.cross_entropy import (
    BinaryCrossEntropy,
    SoftmaxCrossEntropy,
    balanced_class_weights,
)
from tunelab.training.losses.errors import AbsoluteError, SquaredError

__all__ = [
    "CLASS_WEIGHTS",
    "AbsoluteError",
    "BinaryCrossEntropy",
    "Loss",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "balanced_class_weights",
    "baseline_loss",
    "class_shares",
    "loss_names",
    "make_loss",
]
