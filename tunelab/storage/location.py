"""Where the study database is."""

from __future__ import annotations

import os

from tunelab.storage.engine import DEFAULT_URL

DATABASE_URL_VARIABLE = "TUNELAB_DATABASE_URL"


def database_url() -> str:
    """The URL in TUNELAB_DATABASE_URL; without it, ``tunelab.db`` in the working directory."""
    return os.environ.get(DATABASE_URL_VARIABLE) or DEFAULT_URL
