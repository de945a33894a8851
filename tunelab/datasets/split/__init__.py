"""Which rows are trained on, validated on and sealed away; a member of the family a module.

Membership follows from a row's contents and the split's seed, never from its place in the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tunelab.datasets.digest import Digests
from tunelab.datasets.sources import RawData
from tunelab.datasets.split.base import Method, Rows, Split, complete_split, share_notes
from tunelab.datasets.split.chronological import chronological
from tunelab.datasets.split.hashed import by_group, by_row
from tunelab.datasets.split.stratified import stratified
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec

__all__ = ["SPLIT_METHODS", "Rows", "Split", "share_notes", "split_rows"]

SPLIT_METHODS: Mapping[str, Method] = {
    "stratified": stratified,
    "hash": by_row,
    "group": by_group,
    "time": chronological,
}


def split_rows(raw: RawData, digests: Digests, spec: SplitSpec) -> Split:
    """Split ``raw`` as ``spec`` says.

    Args:
        raw: The rows.
        digests: Their ``row_digests``.
        spec: Method, shares and seed.

    Raises:
        DataError: If the method is unknown, a part would stay empty, or a class would have no
            training row.
    """
    if spec.method not in SPLIT_METHODS:
        known = ", ".join(SPLIT_METHODS)
        raise DataError(f"data.split.method: must be one of {known}, got {spec.method}")
    return complete_split(SPLIT_METHODS[spec.method](raw, digests, spec), raw, digests, spec)
