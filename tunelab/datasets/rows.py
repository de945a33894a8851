"""Raw rows in one file, numbers and text, without pickle.

A zip archive, uncompressed, which NumPy reads as well::

    rows.json           names, classes, and the texts that codes index
    column_0.npy ...    one a column: float64, or int32 codes where the column holds text
    targets.npy         int64 labels or float64 numbers
    groups.npy          int32 codes, and times.npy float64, where the split goes by them
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets import texts
from tunelab.datasets.sources import Column, RawData, Targets

_HEADER = "rows.json"


def write_rows(
    stream: IO[bytes], raw: RawData, rows: npt.NDArray[np.intp], targets: Targets
) -> None:
    """Write some rows, one column at a time.

    Nothing of the other rows is written: of a column's texts, those alone that these rows hold.

    Args:
        stream: Open for writing, at its beginning.
        raw: All rows.
        rows: Which of them, in this order.
        targets: Their targets, in place of those in ``raw``; shape (len(rows), ...).
    """
    columns: list[dict[str, Any]] = []
    header: dict[str, Any] = {
        "class_names": raw.class_names,
        "target_names": raw.target_names,
        "columns": columns,
        "groups": None,
    }
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for place, column in enumerate(raw.columns):
            values, known = column.values[rows], None
            if column.categorical:
                values, known = texts.encode(values)
            columns.append({"name": column.name, "texts": known})
            _write_array(archive, f"column_{place}", values)
        _write_array(archive, "targets", targets)
        if raw.groups is not None:
            codes, header["groups"] = texts.encode(raw.groups[rows])
            _write_array(archive, "groups", codes)
        if raw.times is not None:
            _write_array(archive, "times", raw.times[rows])
        with archive.open(_HEADER, "w") as member:
            member.write(json.dumps(header).encode())


def read_rows(file: Path) -> RawData:
    """Read what ``write_rows`` wrote.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is damaged, or is no such file.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            header = json.loads(archive.read(_HEADER))
            return RawData(
                columns=tuple(
                    _column(archive, f"column_{place}", entry["name"], entry["texts"])
                    for place, entry in enumerate(header["columns"])
                ),
                targets=_read_array(archive, "targets"),
                class_names=tuple(header["class_names"]),
                target_names=tuple(header["target_names"]),
                groups=(
                    None
                    if header["groups"] is None
                    else texts.decode(_read_array(archive, "groups"), header["groups"])
                ),
                times=(
                    _read_array(archive, "times") if "times.npy" in archive.namelist() else None
                ),
            )
    except (zipfile.BadZipFile, EOFError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no archive of rows: {error}") from error


def _column(archive: zipfile.ZipFile, member: str, name: str, known: list[str] | None) -> Column:
    values = _read_array(archive, member)
    if known is None:
        return Column(name, values, categorical=False)
    return Column(name, texts.decode(values, known), categorical=True)


def _write_array(archive: zipfile.ZipFile, name: str, values: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)


def _read_array(archive: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    with archive.open(f"{name}.npy") as member:
        values: npt.NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return values
