"""Names made from contents: of a row, of prepared data, of a data description.

What is said here about a row's digest decides, for ever, which rows are test rows: a change of it
would move rows between the parts of a split.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunelab.datasets import texts
from tunelab.datasets.sources import RawData

Digests = npt.NDArray[np.uint8]
"""SHA-256 of each of n things, shape (n, 32)."""

_DIGEST_BYTES = 32
_TEXT_BYTES = 16  # of a digest: what stands for one text within a row
_BLOCK_BYTES = 1 << 22


def canonical_json(value: Any) -> str:
    """One text for equal values: keys sorted, no blanks, floats in their shortest exact form.

    >>> canonical_json({"b": 0.20, "a": [1, "x"]})
    '{"a":[1,"x"],"b":0.2}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def description_key(description: Mapping[str, Any]) -> str:
    """Folder name for a data description: 32 hexadecimal digits of SHA-256 over its JSON."""
    return hashlib.sha256(canonical_json(description).encode()).hexdigest()[:32]


def row_digests(raw: RawData) -> Digests:
    """SHA-256 of each row: the names of its columns and all its values, the target among them.

    Neither the order of the rows nor that of the columns has a say, and a class counts by its
    name, so a row keeps its digest when rows, classes or columns are sorted differently. ::

        row    = SHA-256(SHA-256(JSON of all fields) numbers texts)
        number = 8 bytes, IEEE 754, little-endian; -0.0 counts as 0.0, and all NaN are alike
        text   = the first 16 bytes of SHA-256(UTF-8); zeros where the value is missing

    The JSON lists ``[role, name]`` of each field; numbers stand before texts, and each of the two
    is sorted. Roles are ``feature``, ``target``, ``group`` and ``time``, the last two without a
    name.
    """
    fields = sorted(_fields(raw), key=lambda field: (field.table is not None, field[:2]))
    n_numbers = sum(field.table is None for field in fields)
    n_texts = len(fields) - n_numbers
    listed = canonical_json([[field.role, field.name] for field in fields])
    start_of_row = hashlib.sha256(hashlib.sha256(listed.encode()).digest())

    row_bytes = 8 * n_numbers + _TEXT_BYTES * n_texts
    block_rows = max(1, _BLOCK_BYTES // row_bytes)
    digests = bytearray()
    for start in range(0, raw.n_rows, block_rows):
        rows = slice(start, min(start + block_rows, raw.n_rows))
        block = np.empty((rows.stop - rows.start, row_bytes), dtype=np.uint8)
        numbers = block[:, : 8 * n_numbers].view("<f8")
        words = block[:, 8 * n_numbers :].view(f"V{_TEXT_BYTES}")
        for place, field in enumerate(fields):
            if field.table is None:
                numbers[:, place] = field.values[rows]
            else:
                words[:, place - n_numbers] = field.table[field.values[rows]]
        numbers += 0.0
        numbers[np.isnan(numbers)] = np.nan
        digests += _hashed(start_of_row, block)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)


class _Field(NamedTuple):
    role: str
    name: str
    values: npt.NDArray[Any]  # numbers, or codes into the table
    table: npt.NDArray[np.void] | None


def _fields(raw: RawData) -> Iterable[_Field]:
    for column in raw.columns:
        if column.categorical:
            yield _text_field("feature", column.name, *texts.encode(column.values))
        else:
            yield _Field("feature", column.name, column.values, None)
    if raw.class_names:
        yield _text_field("target", raw.target_names[0], raw.targets, raw.class_names)
    else:
        for name, values in zip(raw.target_names, raw.targets.T, strict=True):
            yield _Field("target", name, values, None)
    if raw.groups is not None:
        yield _text_field("group", "", *texts.encode(raw.groups))
    if raw.times is not None:
        yield _Field("time", "", raw.times, None)


def _text_field(role: str, name: str, codes: npt.NDArray[Any], known: Iterable[str]) -> _Field:
    hashed = text_digests(known)[:, :_TEXT_BYTES]
    table = np.zeros((len(hashed) + 1, _TEXT_BYTES), dtype=np.uint8)  # the last one: missing
    table[:-1] = hashed
    return _Field(role, name, codes, table.view(f"V{_TEXT_BYTES}")[:, 0])


def text_digests(known: Iterable[str]) -> Digests:
    """SHA-256 of each text's UTF-8, shape (n, 32)."""
    # A file of arrays may hold half of a surrogate pair, which UTF-8 has no bytes for.
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in known]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, _DIGEST_BYTES)


def row_places(digests: Digests, purpose: str, seed: int) -> Digests:
    """The key by which each row is ranked: SHA-256 of purpose, seed, occurrence and row digest.

    The k-th copy of a row has occurrence k, so copies get places of their own. Which of the copies
    is the k-th depends on the source's order, but they are equal, so no result does.

    Args:
        digests: One a row.
        purpose: Makes the ranks of two uses independent, also under equal seeds.
        seed: Another seed gives another order.
    """
    occurrences = _occurrences(digests)
    keys = digests.tobytes()
    places = bytearray()
    labels: dict[int, Any] = {}
    for row, occurrence in enumerate(occurrences.tolist()):
        if occurrence not in labels:
            labels[occurrence] = hashlib.sha256(f"{purpose} {seed} {occurrence} ".encode())
        place = labels[occurrence].copy()
        place.update(keys[row * _DIGEST_BYTES : (row + 1) * _DIGEST_BYTES])
        places += place.digest()
    return np.frombuffer(places, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)


def ordered(digests: Digests) -> npt.NDArray[np.intp]:
    """The rows in the order of their digests or places; equal ones in their own order.

    >>> ordered(text_digests(["b", "a", "b"])).tolist()  # 3e23..., ca97..., 3e23...
    [0, 2, 1]
    """
    begins = first_integers(digests)
    order = begins.argsort(kind="stable")
    begins = begins[order]
    if np.any(begins[1:] == begins[:-1]):  # the rest of the bytes has a say: copies, mostly
        order = _as_keys(digests).argsort(kind="stable")
    return order


def uniforms(digests: Digests, purpose: str, seed: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each digest: the same for equal digests, else independent.

    ::

        u = (the first 8 bytes of SHA-256(purpose, seed, digest), big-endian) / 2**64

    cut to the 53 bits of a float.
    """
    hashed = _hashed(hashlib.sha256(f"{purpose} {seed} ".encode()), digests)
    places = np.frombuffer(hashed, dtype=np.uint8).reshape(-1, _DIGEST_BYTES)
    return (first_integers(places) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def first_integers(digests: Digests) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each digest as an integer, big-endian."""
    return np.ascontiguousarray(digests[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def rows_digest(digests: Digests) -> str:
    """SHA-256 of a set of rows, whatever their order; a row that occurs twice counts twice."""
    return hashlib.sha256(digests[ordered(digests)].tobytes()).hexdigest()


def data_digest(header: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """SHA-256 of a split data set: what the columns mean, and the rows of each part.

    It is taken over the rows before preprocessing, which together with the split determine the
    arrays: float32 values may differ in the last bit between machine kinds, this digest does not.

    Args:
        header: What gives the numbers their meaning, such as task and class names.
        parts: ``rows_digest`` of each part, by name.
    """
    text = canonical_json({"header": dict(header), "parts": dict(parts)})
    return hashlib.sha256(text.encode()).hexdigest()


def _hashed(start: Any, table: npt.NDArray[np.uint8]) -> bytes:
    """The digests of the rows of ``table``, each hashed on from the state ``start``."""
    width = table.shape[1]
    data = table.tobytes()
    digests = []
    for begin in range(0, len(data), width):
        row = start.copy()
        row.update(data[begin : begin + width])
        digests.append(row.digest())
    return b"".join(digests)


def _occurrences(digests: Digests) -> npt.NDArray[np.intp]:
    """How many equal rows stand before each row, shape (n,)."""
    order = ordered(digests)
    keys = _as_keys(digests)[order]
    numbers = np.arange(len(order))
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = keys[1:] != keys[:-1]
    occurrences = np.empty(len(order), dtype=np.intp)
    occurrences[order] = numbers - np.maximum.accumulate(np.where(begins, numbers, 0))
    return occurrences


def _as_keys(digests: Digests) -> npt.NDArray[np.void]:
    """Each row as one value; NumPy compares these byte by byte."""
    return np.ascontiguousarray(digests).view(f"V{digests.shape[1]}")[:, 0]
