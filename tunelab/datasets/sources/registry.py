"""The kinds of sources by name, and how the rows of one are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunelab.datasets.sources.base import RawData, Source
from tunelab.datasets.sources.delimited import read_csv
from tunelab.datasets.sources.files import file_fingerprint
from tunelab.datasets.sources.npz import read_npz
from tunelab.datasets.sources.parquet import read_parquet
from tunelab.datasets.sources.sklearn_sets import read_sklearn, sklearn_fingerprint
from tunelab.errors import DataError, nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

SOURCES = {
    "sklearn": Source(read=read_sklearn, fingerprint=sklearn_fingerprint),
    "csv": Source(read=read_csv, fingerprint=file_fingerprint),
    "parquet": Source(read=read_parquet, fingerprint=file_fingerprint),
    "npz": Source(read=read_npz, fingerprint=file_fingerprint),
}


def read_source(data: DataSpec, task: str) -> RawData:
    """Read the rows that ``data`` describes, for a study of ``task``.

    Raises:
        NotFoundError: If there is no such file.
        DataError: If the data cannot be used as ``data`` asks; it tells everything that is wrong.
    """
    return _source(data).read(data, task)


def source_fingerprint(data: DataSpec) -> str:
    """What identifies the contents of ``data``'s source, found without reading them.

    Raises:
        NotFoundError: If there is no such file.
        DataError: If the source is unknown, or none that could be read.
    """
    return _source(data).fingerprint(data)


def _source(data: DataSpec) -> Source:
    if data.source not in SOURCES:
        match = nearest(data.source, tuple(SOURCES))
        raise DataError(
            f"data.source: must be one of {', '.join(SOURCES)}, got {data.source}",
            hint=f"did you mean {match}?" if match else None,
        )
    return SOURCES[data.source]
