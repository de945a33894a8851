"""Which column of a table plays which part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunelab.datasets.sources.flaws import Flaw, listed
from tunelab.errors import nearest

if TYPE_CHECKING:  # a worker imports this package and needs no study file
    from tunelab.spec.study import DataSpec


@dataclass(frozen=True)
class Roles:
    """The part of each column that is read; all others stay unread.

    Attributes:
        features: In the table's order.
        targets: In the order in which the study file names them.
        categorical: Features whose values are categories whatever they look like.
        group: The column whose equal values stay in one part of the split, or None.
        time: The column that tells later rows from earlier ones, or None.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    categorical: frozenset[str]
    group: str | None
    time: str | None

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that is read, each once."""
        split = tuple(name for name in (self.group, self.time) if name is not None)
        return tuple(dict.fromkeys((*self.features, *self.targets, *split)))


def assign(
    names: Sequence[str],
    data: DataSpec,
    task: str,
    targets: Sequence[str],
    also: Sequence[str] = (),
) -> tuple[Roles, list[Flaw]]:
    """Deal out the columns as ``data`` says, and tell what does not go with them.

    Args:
        names: The table's columns.
        data: What is asked for.
        task: ``classification`` or ``regression``.
        targets: The target columns among ``names``; none where the targets stand elsewhere.
        also: Names beside the table that may decide the split.
    """
    group, time = data.split.group, data.split.time
    asked = [
        *(("target", name) for name in targets),
        *(("keep", name) for name in data.keep or ()),
        *(("drop", name) for name in data.drop),
        *(("categorical", name) for name in data.categorical),
    ]
    flaws = [_unknown(key, name, names) for key, name in asked if name not in names]
    for key, name in (("split.group", group), ("split.time", time)):
        if name is not None and name not in names and name not in also:
            flaws.append(_unknown(key, name, [*names, *also]))
    if task == "classification" and len(targets) > 1:
        flaws.append(
            Flaw(
                f"must be one column for classification, got {len(targets)}",
                "name one column, or set task: regression",
                key="data.target",
            )
        )
    taken = {*targets, *data.drop, group, time}
    features = tuple(
        name for name in names if name not in taken and (data.keep is None or name in data.keep)
    )
    if not features and not flaws:
        message = f"no feature is left; the columns are: {listed(names)}"
        flaws.append(Flaw(message, "a feature is a column besides the target"))
    roles = Roles(features, tuple(targets), frozenset(data.categorical), group, time)
    return roles, flaws


def _unknown(key: str, name: str, names: Sequence[str]) -> Flaw:
    match = nearest(name, names)
    return Flaw(
        f"there is no column {name!r}; the columns are: {listed(names)}",
        f"did you mean {match!r}?" if match else None,
        key=f"data.{key}",
    )
