"""Where rows come from: each source reads a data description into one ``RawData``.

A source also has a fingerprint that names the contents without reading them, so that a prepared
folder is found again in milliseconds.
"""

from __future__ import annotations

from tunelab.datasets.sources.base import Column, RawData, Source, Targets
from tunelab.datasets.sources.registry import SOURCES, read_source, source_fingerprint

__all__ = [
    "SOURCES",
    "Column",
    "RawData",
    "Source",
    "Targets",
    "read_source",
    "source_fingerprint",
]
