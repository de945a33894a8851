"""NPZ archives: arrays of numbers that numpy.savez has written, never a pickle.

Nothing is unpacked before its declared size has been checked against what the archive holds.
"""

from __future__ import annotations

import math
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources.assembly import Table, assemble
from tunelab.datasets.sources.base import RawData
from tunelab.datasets.sources.files import (
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_VALUES,
    DamagedError,
    damage,
    opened,
    shown_path,
)
from tunelab.datasets.sources.flaws import Flaw, counted, listed, report, short
from tunelab.datasets.sources.roles import assign
from tunelab.errors import nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec

_NAMES = "feature_names"
_SUFFIX = ".npy"
_BLOCK_BYTES = 1 << 20
_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
# A header is the text of a Python dict. It is searched, and never evaluated.
_DESCR = re.compile(rb"'descr':\s*(?:'([<>=|]?[A-Za-z][0-9]{0,9}(?:\[[0-9A-Za-z]+\])?)'|\[)")
_FORTRAN = re.compile(rb"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(rb"'shape':\s*\(((?:[0-9]{1,19},? *)*)\)")
_NUMBERS, _TEXTS, _TIMES = "buif", "US", "M"  # kinds of NumPy's dtypes


class _RefusedError(Exception):
    """Arrays that are not what they must be."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__(flaws)
        self.flaws = flaws


@dataclass(frozen=True)
class _Array:
    """An array of the archive, of which only the header has been read.

    Attributes:
        name: Its name.
        entry: Its place in the archive.
        shape: What it declares.
        fortran: Whether its first index runs fastest.
        dtype: The kind of its values.
        start: Bytes of the header.
    """

    name: str
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int


def read_npz(data: DataSpec, task: str) -> RawData:
    """Read an NPZ archive: features ``x`` or ``X``, targets ``y``, ``Y`` or of another name.

    Features have the shape (rows, features), and names in the array ``feature_names``, or else
    x0, x1, ... Targets have the shape (rows,), or for regression (rows, outputs). A column that
    decides the split is a feature, or an array of its own.

    Raises:
        NotFoundError: If there is no such file.
        DataError: With what is wrong in it.
    """
    path = str(data.path)
    with opened(path, "npz") as file:
        with damage():
            archive = zipfile.ZipFile(file)
        try:
            return _Archive(archive, path).read(data, task)
        except _RefusedError as refused:
            raise report(shown_path(path), refused.flaws) from None
        finally:
            archive.close()


class _Archive:
    """The arrays of an archive by name."""

    def __init__(self, archive: zipfile.ZipFile, path: str) -> None:
        self._archive = archive
        self._path = path
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(_SUFFIX)]
        self._entries = {entry.filename.removesuffix(_SUFFIX): entry for entry in entries}
        if len(self._entries) < len(entries):
            raise _RefusedError(Flaw("two arrays have the same name"))

    def read(self, data: DataSpec, task: str) -> RawData:
        asked = data.target or ("y",)
        if asked == ("y",) and "y" not in self._entries and "Y" in self._entries:
            asked = ("Y",)
        absent = [self._absent(name, "data.target") for name in asked if name not in self._entries]
        if not self._entries.keys() & {"x", "X"}:
            absent.insert(0, self._absent("x"))
        if absent:
            raise _RefusedError(*absent)
        features, targets = self._features(), self._targets(asked, task)
        names = self._feature_names(features)
        also = [name for name in self._entries if name not in (features.name, _NAMES, *targets)]
        roles, flaws = assign(names, data, task, (), also)
        if flaws:
            raise _RefusedError(*flaws)
        n_rows = features.shape[0]
        decisive = [name for name in (roles.group, roles.time) if name and name not in names]
        beside = [*targets.values(), *(self._row_array(name) for name in decisive)]
        flaws = [
            Flaw(
                f"array {short(array.name)} has {counted(array.shape[0], 'row')}, "
                f"but {features.name} has {n_rows:,}"
            )
            for array in beside
            if array.shape[0] != n_rows
        ]
        columns = {
            column: (array, k)
            for array in targets.values()
            for k, column in enumerate(_column_names(array))
        }
        numbers = {name: number for number, name in enumerate(names)}
        shared = [name for name in columns if name in numbers]
        flaws += [
            Flaw(f"{short(name)} is the name of a feature and of a target") for name in shared
        ]
        if flaws:
            raise _RefusedError(*flaws)

        x = self._load(features)
        loaded = {array.name: self._load(array) for array in beside}

        def read(name: str) -> Any:
            if name in numbers:
                return np.array(x[:, numbers[name]], dtype=np.float64)
            if name not in columns:
                return _column(loaded[name])
            array, k = columns[name]
            values = loaded[array.name]
            return _column(values if values.ndim == 1 else values[:, k])

        table = Table(shown_path(self._path), n_rows, read)
        return assemble(table, replace(roles, targets=tuple(columns)), data, task)

    def _features(self) -> _Array:
        given = [name for name in ("x", "X") if name in self._entries]
        if len(given) == 2:
            raise _RefusedError(Flaw("must have one array of features, got x and X"))
        array = self._declared(given[0], _NUMBERS)
        if len(array.shape) != 2:
            message = f"array {array.name} must have the shape (rows, features), got {array.shape}"
            hint = f"{array.name}.reshape(len({array.name}), -1) gives each row one line of numbers"
            raise _RefusedError(Flaw(message, hint if array.shape else None))
        return array

    def _targets(self, asked: Sequence[str], task: str) -> dict[str, _Array]:
        if task == "classification" and len(asked) > 1:
            message = f"must be one array for classification, got {len(asked)}"
            raise _RefusedError(Flaw(message, key="data.target"))
        arrays = {name: self._declared(name, _NUMBERS + _TEXTS) for name in asked}
        for name, array in arrays.items():
            if len(array.shape) not in (1, 2) or 0 in array.shape[1:]:
                shape = "(rows,)" if task == "classification" else "(rows,) or (rows, outputs)"
                message = f"array {short(name)} must have the shape {shape}, got {array.shape}"
                raise _RefusedError(Flaw(message))
            if task == "classification" and len(array.shape) == 2 and array.shape[1] > 1:
                message = f"array {short(name)} must have the shape (rows,), got {array.shape}"
                hint = f"{short(name)}.argmax(axis=1) gives the classes of one-hot rows"
                raise _RefusedError(Flaw(message, hint))
        return arrays

    def _row_array(self, name: str) -> _Array:
        array = self._declared(name, _NUMBERS + _TEXTS + _TIMES)
        if len(array.shape) != 1:
            raise _RefusedError(
                Flaw(f"array {short(name)} must have the shape (rows,), got {array.shape}")
            )
        return array

    def _feature_names(self, features: _Array) -> list[str]:
        n_features = features.shape[1]
        if _NAMES not in self._entries:
            return [f"x{number}" for number in range(n_features)]
        array = self._declared(_NAMES, _TEXTS)
        if array.shape != (n_features,):
            message = f"array {_NAMES} must have the shape ({n_features},), got {array.shape}"
            raise _RefusedError(Flaw(message))
        names = [str(name) for name in _texts(self._load(array))]
        if "" in names:
            message = f"array {_NAMES} must name each feature, got an empty name"
            raise _RefusedError(Flaw(message))
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            message = f"array {_NAMES} must name each feature once, got {listed(twice)} again"
            raise _RefusedError(Flaw(message))
        return names

    def _absent(self, name: str, key: str = "") -> Flaw:
        in_case = [known for known in self._entries if known.lower() == name.lower()]
        match = in_case[0] if in_case else nearest(name, [*self._entries])
        return Flaw(
            f"there is no array {name!r}; the arrays are: {listed([*self._entries])}",
            f"did you mean {match!r}?" if match else None,
            key=key,
        )

    def _declared(self, name: str, kinds: str) -> _Array:
        """The header of an array, checked: nothing of it has been unpacked yet."""
        entry = self._entries[name]
        if entry.flag_bits & 1:
            raise _RefusedError(Flaw(f"array {short(name)} is encrypted", "save it unencrypted"))
        with damage(), self._archive.open(entry) as stream:
            header, start = _header(stream), stream.tell()
        descr, fortran, shape = (pattern.search(header) for pattern in (_DESCR, _FORTRAN, _SHAPE))
        if descr is None or fortran is None or shape is None:
            raise _RefusedError(_damaged(name))
        try:
            dtype = np.dtype((descr[1] or b"V1").decode())
        except TypeError:
            raise _RefusedError(_damaged(name)) from None
        lengths = tuple(int(length) for length in re.findall(rb"[0-9]+", shape[1]))
        array = _Array(name, entry, lengths, fortran[1] == b"True", dtype, start)
        flaw = _flaw_of_type(array, kinds) or _flaw_of_size(array)
        if flaw is not None:
            raise _RefusedError(flaw)
        return array

    def _load(self, array: _Array) -> npt.NDArray[Any]:
        """The values, shape ``array.shape``."""
        values = np.empty(math.prod(array.shape), dtype=array.dtype)
        room = values.view(np.uint8)
        filled = 0
        with damage(), self._archive.open(array.entry) as stream:
            stream.read(array.start)
            while block := stream.read(_BLOCK_BYTES):  # to the end, where the checksum is compared
                room[filled : filled + len(block)] = np.frombuffer(block, dtype=np.uint8)
                filled += len(block)
        if filled < len(room) or _holds_no_text(values):
            raise DamagedError
        return values.reshape(array.shape, order="F" if array.fortran else "C")


def _holds_no_text(values: npt.NDArray[Any]) -> bool:
    """Whether what is declared as text has characters that do not exist."""
    if values.dtype.kind != "U":
        return False
    points = values.view(np.dtype("u4").newbyteorder(values.dtype.byteorder))
    return bool((points > sys.maxunicode).any())


def _header(stream: IO[bytes]) -> bytes:
    """The header of an array, which the stream begins with; empty if there is none."""
    if stream.read(6) != _MAGIC:
        return b""
    major, _ = stream.read(2).ljust(2)
    n_bytes = int.from_bytes(stream.read(2 if major == 1 else 4), "little")
    return stream.read(n_bytes) if n_bytes <= _LONGEST_HEADER else b""


def _damaged(name: str) -> Flaw:
    return Flaw(f"array {short(name)} is damaged", "write the archive again with numpy.savez")


def _column_names(array: _Array) -> list[str]:
    """The names of an array's columns: its own where it is one column."""
    n_columns = math.prod(array.shape[1:])
    return [array.name] if n_columns == 1 else [f"{array.name}{k}" for k in range(n_columns)]


def _flaw_of_type(array: _Array, kinds: str) -> Flaw | None:
    name, dtype = array.name, array.dtype
    if dtype.hasobject:
        message = f"array {short(name)} holds Python objects, which are never loaded"
        name = short(name)
        return Flaw(message, f"save {name}.astype(float), or {name}.astype(str) for texts")
    if dtype.kind in kinds and dtype.itemsize > 0:
        return None
    wanted = "numbers or texts" if _TEXTS in kinds else "numbers"
    if kinds == _TEXTS:
        wanted = "texts"
    fields = dtype.kind == "V"
    hint = "save the table as CSV or Parquet" if dtype.kind in _TEXTS or fields else None
    got = "named fields" if fields else str(dtype)
    return Flaw(f"array {short(name)} must hold {wanted}, got {got}", hint)


def _flaw_of_size(array: _Array) -> Flaw | None:
    """Whether an array is larger than it may be, or than what there is of it."""
    n_values = math.prod(array.shape)
    n_bytes = n_values * array.dtype.itemsize
    # Columns have names, so many columns of no rows are not nothing.
    n_columns = math.prod(array.shape[1:])
    if n_columns > MAX_COLUMNS:
        return Flaw(
            f"array {short(array.name)} must have at most {MAX_COLUMNS:,} columns, "
            f"declares {n_columns:,}",
            "give fewer columns",
        )
    if n_values > MAX_VALUES or n_bytes > MAX_BYTES:
        return Flaw(
            f"array {short(array.name)} declares {n_values:,} values in {n_bytes:,} bytes; "
            f"at most {MAX_VALUES:,} values in {MAX_BYTES:,} bytes are read",
            "give fewer rows or columns",
        )
    held = array.entry.file_size - array.start
    if held != n_bytes:
        return Flaw(
            f"array {short(array.name)} declares {n_bytes:,} bytes, but the archive holds {held:,}",
            "write it again with numpy.savez",
        )
    return None


def _column(values: npt.NDArray[Any]) -> Any:
    """The values of one column as float64, or as texts."""
    if values.dtype.kind == "b":
        values = np.where(values, "True", "False")
    if values.dtype.kind in _TEXTS:
        import pyarrow as pa

        return pa.array(_texts(values), pa.string())
    if values.dtype.kind in _TIMES:
        seconds = values.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(values), np.nan, seconds)
    return np.array(values, dtype=np.float64)


def _texts(values: npt.NDArray[Any]) -> list[str]:
    """Texts as Python's, bytes read as UTF-8; what is none stays visible as U+FFFD."""
    given: Sequence[str | bytes] = values.tolist()
    return [
        (text if isinstance(text, bytes) else text.encode("utf-8", "replace")).decode(
            "utf-8", "replace"
        )
        for text in given
    ]
