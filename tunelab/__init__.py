"""Tunes neural networks: Optuna proposes, the engine trains, a monitor judges, MLflow shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunelab.service.loaded import LoadedStudy

__version__ = "0.1.0"


def load_study(name: str, database_url: str | None = None) -> LoadedStudy:
    """Read a study: its summary, its trials with their curves, and Optuna's view of it.

    >>> study = load_study("digits")  # doctest: +SKIP
    >>> study.summary["best"]["value"], study.trials[0]["curve"]  # doctest: +SKIP
    >>> optuna.visualization.plot_optimization_history(study.to_optuna())  # doctest: +SKIP

    Args:
        name: ``digits`` for its latest generation, ``digits#7`` for its 7th.
        database_url: Of the study database; None: TUNELAB_DATABASE_URL, else ``tunelab.db`` in the
            working directory.

    Raises:
        tunelab.errors.NotFoundError: If there is no such study, or no database.
        tunelab.errors.DatabaseError: If the database cannot be read.
    """
    from tunelab.service.loaded import load_study as load  # loads SQLAlchemy

    return load(name, database_url)
