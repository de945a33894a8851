"""Models to carry away: a network, its preprocessing, and the one file that predicts with them."""

from __future__ import annotations

from tunelab.datasets.bundle.making import Bundle, make_bundle, write_bundle
from tunelab.datasets.bundle.portable import (
    ARRAYS_FILE,
    DOCUMENT_FILE,
    DamagedModelError,
    Model,
    read,
)

__all__ = [
    "ARRAYS_FILE",
    "DOCUMENT_FILE",
    "Bundle",
    "DamagedModelError",
    "Model",
    "make_bundle",
    "read",
    "write_bundle",
]
