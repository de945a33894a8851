"""Layers: a file each, forward beside backward."""

from tunelab.training.layers.activation import ActivationLayer
from tunelab.training.layers.base import Layer, Parameter
from tunelab.training.layers.dense import Dense, InputDense, OutputDense
from tunelab.training.layers.dropout import Dropout

__all__ = [
    "ActivationLayer",
    "Dense",
    "Dropout",
    "InputDense",
    "Layer",
    "OutputDense",
    "Parameter",
]
