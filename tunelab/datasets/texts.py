"""Columns of text as numbers: a code a row, and what the codes stand for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MISSING = -1
"""The code of a value that is missing."""


def encode(values: npt.NDArray[np.object_]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """The code of each value, and the texts that the codes index, in order of first appearance.

    Args:
        values: Shape (n,), each a str, or None where the value is missing.

    >>> codes, texts = encode(np.array(["b", None, "a", "b"], dtype=object))
    >>> codes.tolist(), texts
    ([0, -1, 1, 0], ['b', 'a'])
    """
    listed = values.tolist()
    known = [text for text in dict.fromkeys(listed) if text is not None]
    code_of = {None: MISSING, **{text: code for code, text in enumerate(known)}}
    codes = np.fromiter(map(code_of.__getitem__, listed), dtype=np.int32, count=len(listed))
    return codes, known


def decode(codes: npt.NDArray[np.int32], texts: list[str]) -> npt.NDArray[np.object_]:
    """The values that ``encode`` was given.

    >>> decode(np.array([0, -1], dtype=np.int32), ["b"]).tolist()
    ['b', None]
    """
    table = np.empty(len(texts) + 1, dtype=object)  # its last entry is what -1 finds: None
    table[: len(texts)] = texts
    return table[codes]
