"""The prepared data of a study, wherever they are."""

from __future__ import annotations

import os
from pathlib import Path

from tunelab.datasets import PreparedData
from tunelab.datasets.data_store import DATA_STORE_VARIABLE, DataStore, open_store
from tunelab.datasets.remote import locate
from tunelab.errors import TunelabError
from tunelab.storage.engine import Database
from tunelab.storage.studies import StudyRow

DATA_CACHE_VARIABLE = "TUNELAB_DATA_CACHE"


def data_store() -> DataStore | None:
    """The store that TUNELAB_DATA_STORE names; None if it names none.

    Raises:
        UsageError: If it cannot be understood.
    """
    place = os.environ.get(DATA_STORE_VARIABLE)
    return open_store(place) if place else None


def data_cache(database: Database) -> Path:
    """Where fetched data lie: TUNELAB_DATA_CACHE; without it, a folder beside the database."""
    given = os.environ.get(DATA_CACHE_VARIABLE)
    return Path(given).expanduser().absolute() if given else database.home / "fetched"


def study_data(
    database: Database, study: StudyRow, own: tuple[str, str] | None = None
) -> PreparedData:
    """The study's prepared data: here, or else fetched from the data store.

    Args:
        database: The study database; fetched data lie beside it.
        study: The study.
        own: Path and digest of what a confirm run has in their place; None: nothing.

    Raises:
        TunelabError: If they are nowhere, damaged, or others than the study began with; the
            message names the study.
    """
    path, digest = own or (study.data_path, study.data_digest)
    try:
        return locate(Path(path), digest, data_store(), data_cache(database))
    except TunelabError as error:
        raise type(error)(f"{study.title}: {error.message}", hint=error.hint) from error
