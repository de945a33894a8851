"""Names made from contents: of a row, of prepared data, of a data description."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources import Targets


def canonical_json(value: Mapping[str, Any]) -> str:
    """One text for equal values: keys sorted, no blanks, floats in their shortest exact form.

    >>> canonical_json({"b": 0.20, "a": [1, "ü"]})
    '{"a":[1,"ü"],"b":0.2}'
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def description_key(description: Mapping[str, Any]) -> str:
    """Folder name for a data description: 32 hexadecimal digits of SHA-256 over its JSON."""
    return hashlib.sha256(canonical_json(description).encode()).hexdigest()[:32]


def row_digests(features: npt.NDArray[np.float64], targets: Targets) -> list[bytes]:
    """SHA-256 of each row, over features and target together.

    Bytes are little-endian on every machine, and -0.0 counts as 0.0, so that equal rows have
    equal digests.

    Args:
        features: Shape (n, n_features).
        targets: Shape (n,) or (n, n_outputs).
    """
    x = np.ascontiguousarray(features + 0.0, dtype="<f8")
    y = np.ascontiguousarray(targets, dtype="<i8" if targets.dtype.kind == "i" else "<f8")
    if y.dtype.kind == "f":
        y = y + 0.0
    y = y.reshape(len(x), -1)
    return [
        hashlib.sha256(row.tobytes() + target.tobytes()).digest()
        for row, target in zip(x, y, strict=True)
    ]


def row_places(digests: Sequence[bytes], purpose: str, seed: int) -> list[bytes]:
    """The key by which each row is ranked: SHA-256 of purpose, seed, occurrence and row digest.

    The k-th copy of a row has occurrence k, so copies get places of their own. Which of the copies
    is the k-th depends on the source's order, but they are equal, so no result does.

    Args:
        digests: One a row.
        purpose: Makes the ranks of two uses independent, also under equal seeds.
        seed: Another seed gives another order.

    >>> places = row_places([b"a", b"b", b"a"], "split", seed=0)
    >>> len(set(places))
    3
    >>> sorted(places) == sorted(row_places([b"b", b"a", b"a"], "split", seed=0))
    True
    """
    seen: Counter[bytes] = Counter()
    places = []
    for digest in digests:
        label = f"{purpose} {seed} {seen[digest]} ".encode()
        places.append(hashlib.sha256(label + digest).digest())
        seen[digest] += 1
    return places


def rows_digest(digests: Sequence[bytes]) -> str:
    """SHA-256 of a set of rows, whatever their order; a row that occurs twice counts twice."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def data_digest(header: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """SHA-256 of a split data set: what the columns mean, and the rows of each part.

    It is taken over the rows before scaling, which together with the split determine the scaled
    ones: float32 values may differ in the last bit between machine kinds, this digest does not.

    Args:
        header: What gives the numbers their meaning, such as task and class names.
        parts: ``rows_digest`` of each part, by name.
    """
    text = canonical_json({"header": dict(header), "parts": dict(parts)})
    return hashlib.sha256(text.encode()).hexdigest()
