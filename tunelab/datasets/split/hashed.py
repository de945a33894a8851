"""Splits in which each row's part is its own affair: other rows have no say.

When a file is refreshed, what was a test row stays a test row, so no network that was trained on
the old file has seen one of the new file's test rows. The price: shares hold only on average, with
a deviation of sqrt(share * (1 - share) / n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunelab.datasets import texts
from tunelab.datasets.digest import Digests, text_digests, uniforms
from tunelab.datasets.sources import RawData
from tunelab.datasets.split.base import PART_NAMES, Parts, count_of, part_of
from tunelab.errors import DataError

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import SplitSpec


def by_row(raw: RawData, digests: Digests, spec: SplitSpec) -> Parts:  # noqa: ARG001
    """Deal out rows by a hash of their contents and the seed; copies of a row stay together."""
    return part_of(uniforms(digests, "part", spec.seed), spec)


def by_group(raw: RawData, digests: Digests, spec: SplitSpec) -> Parts:  # noqa: ARG001
    """Deal out whole groups by a hash of the group's value and the seed.

    Rows of one patient, customer or machine resemble each other: spread over the parts, they
    would make a network that has memorised them look as if it had learned.

    Raises:
        DataError: If the rows have no groups, or fewer than there are parts.
    """
    if raw.groups is None:
        raise DataError("data.split.group: the data have no column of groups")
    codes, groups = texts.encode(raw.groups)
    n_parts = len(PART_NAMES) - (spec.test == 0)
    if len(groups) < n_parts:
        raise DataError(
            f"data.split.group: column {spec.group} has {count_of(len(groups), 'group')}, and "
            f"{'three' if spec.test else 'two'} parts need at least {n_parts}",
            hint="choose another column, or another data.split.method",
        )
    parts: Parts = part_of(uniforms(text_digests(groups), "group", spec.seed), spec)[codes]
    return parts
