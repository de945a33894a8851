"""Layers: a file each, forward beside backward."""

from tunelab.training.layers.activation import ActivationLayer
from tunelab.training.layers.base import Layer, Parameter, Statistic, Variable
from tunelab.training.layers.batch_norm import BatchNorm
from tunelab.training.layers.dense import Dense, InputDense, OutputDense
from tunelab.training.layers.dropout import Dropout

__all__ = [
    "ActivationLayer",
    "BatchNorm",
    "Dense",
    "Dropout",
    "InputDense",
    "Layer",
    "OutputDense",
    "Parameter",
    "Statistic",
    "Variable",
]
