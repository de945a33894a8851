"""Tunes neural networks: Optuna proposes, the engine trains, a monitor judges, MLflow shows."""

__version__ = "0.1.0"
