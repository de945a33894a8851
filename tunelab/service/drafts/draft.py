"""A study file before it is written: values, each with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tunelab.service.drafts.columns import Role

_MANY_COLUMNS = 1000  # a study file that lists more is hard to read


class Reasoned(NamedTuple):
    """A value and why it is that."""

    value: Any
    why: str


class Alternative(NamedTuple):
    """Another value that may suit, and when."""

    when: str
    value: Any


@dataclass(frozen=True)
class Draft:
    """A study file before it is written: values in its syntax, each with a reason.

    Attributes:
        source: ``csv`` or ``parquet``.
        delimiter: Of a CSV file.
        n_rows: Rows of the file.
        n_columns: Its columns.
        targets: The columns to predict.
        roles: All other columns.
        task: With its reason, as all below.
        missing: What becomes of missing values.
        split: The section ``data.split``.
        other_splits: Those that may suit the data better.
        metric: The objective.
        search: The section ``search``.
        space: The section ``space``, key by key.
        preset: Of the monitor.
        notes: What a person should decide, a sentence each.
    """

    source: str
    delimiter: str
    n_rows: int
    n_columns: int
    targets: tuple[str, ...]
    roles: tuple[Role, ...]
    task: Reasoned
    missing: Reasoned
    split: Reasoned
    other_splits: tuple[Alternative, ...]
    metric: Reasoned
    search: Reasoned
    space: Mapping[str, Reasoned]
    preset: Reasoned
    notes: tuple[str, ...] = field(default=())

    def columns(self, part: str) -> list[Role]:
        """The columns that play a part."""
        return [role for role in self.roles if role.part == part]

    def data(self, path: str) -> dict[str, Any]:
        """The section ``data`` without its split, for a file at ``path``."""
        dropped = [role.name for role in self.columns("drop")]
        kept = [role.name for role in self.roles if role.part != "drop"]
        many = len(dropped) > _MANY_COLUMNS and len(kept) < len(dropped)
        of_part = {
            **({"keep": kept} if many else {"drop": dropped}),
            "categorical": [role.name for role in self.columns("categorical")],
        }
        target = self.targets[0] if len(self.targets) == 1 else list(self.targets)
        return {
            "source": self.source,
            "path": path,
            "target": target,
            **{key: names for key, names in of_part.items() if names},
            **({} if self.delimiter == "," else {"delimiter": self.delimiter}),
            "missing": self.missing.value,
        }

    def to_mapping(self, name: str, path: str) -> dict[str, Any]:
        """The study file as plain values."""
        return {
            "name": name,
            "task": self.task.value,
            "data": {**self.data(path), "split": self.split.value},
            "objective": {"metric": self.metric.value},
            "search": self.search.value,
            "space": {key: reasoned.value for key, reasoned in self.space.items()},
            "monitor": {"preset": self.preset.value},
        }
