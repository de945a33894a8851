"""The part of each column: a feature, a category, or nothing but a burden."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunelab.datasets.sources.flaws import counted, listed, short
from tunelab.datasets.sources.oddities import MAX_CATEGORIES
from tunelab.datasets.survey import Facts

FEW_VALUES = 20
"""So few different values may be categories, whatever the number of rows."""

_MANY_INPUTS = 50
_ROWS_A_CATEGORY = 10
_SCALE = 10
_MOST_EMPTY = 0.95
_FEW_PRESENT = 10
_MORE_THAN_TWO = 3

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_]+")
_IDENTIFIERS = {"id", "ids", "uid", "uuid", "guid", "key", "index", "idx", "rowid", "nr", "no"}
_CODES = {"code", "codes", "category", "type", "class", "kind", "id"}
_PLACES = {"zip", "zipcode", "postcode", "postal", "plz", "postleitzahl"}
_MOMENTS = {"date", "datetime", "timestamp", "unixtime"}
_GROUPS = {
    "account", "client", "customer", "device", "household", "machine", "member", "participant",
    "patient", "person", "school", "session", "shop", "site", "store", "student", "subject", "user",
}  # fmt: skip

Part = Literal["feature", "categorical", "drop"]


@dataclass(frozen=True)
class Role:
    """What becomes of a column.

    Attributes:
        facts: The column.
        part: Its part.
        reason: Why, where it is no plain feature.
        notes: What a person should decide, a sentence each.
        may_group: Whether its equal values look like rows that belong together.
        may_order: Whether it can tell later rows from earlier ones.
        may_be_names: Whether it has so few whole numbers that they may stand for something.
    """

    facts: Facts
    part: Part = "feature"
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    may_group: bool = False
    may_order: bool = False
    may_be_names: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.facts.name

    @property
    def n_inputs(self) -> int:
        """Inputs of the network that it becomes."""
        if self.part == "drop":
            return 0
        is_number = self.part == "feature" and self.facts.kind in ("numbers", "almost numbers")
        return 1 if is_number else self.facts.n_distinct


def role_of(facts: Facts, gives_away: Sequence[tuple[str, str]]) -> Role:
    """The part of a column, by what is in it and, where that leaves a choice, by its name.

    Args:
        facts: The column.
        gives_away: How it tells which target.
    """
    role = _role(facts)
    named = short(facts.name)
    if role.part == "drop":
        return role
    role.notes.extend(
        f"{named} {how} the target {short(target)}: if it is only known when the target is, the "
        "networks learn nothing else, and it belongs under drop"
        for how, target in gives_away
    )
    return role


def _role(facts: Facts) -> Role:
    n_rows, n_distinct = facts.n_rows, facts.n_distinct
    may_group = _may_group(facts)
    if facts.kind == "unreadable":
        return Role(facts, "drop", facts.why_unreadable)
    if facts.kind == "almost numbers":
        return Role(facts)  # the reader tells which cells are wrong
    if facts.n_present == 0:
        return Role(facts, "drop", "empty in every row")
    if n_distinct == 1:
        where = "every row" if not facts.n_missing else "every row that has one"
        return Role(facts, "drop", f"the same value in {where}: it tells nothing")
    if facts.kind == "dates":
        reason = "dates are no measurements; the split may go by them, see below"
        may_order = not facts.n_missing and n_distinct >= _MORE_THAN_TWO
        return Role(facts, "drop", reason, may_order=may_order)
    if facts.kind == "odd dates":
        reason = "dates, and not as 2030-01-31: written so, the split could go by them"
        return Role(facts, "drop", reason)
    if facts.n_present < max(min(_FEW_PRESENT, n_rows / 2), (1 - _MOST_EMPTY) * n_rows):
        reason = f"empty in {facts.n_missing:,} of {n_rows:,} rows: too little to learn from"
        return Role(facts, "drop", reason)
    if facts.kind == "texts":
        return _role_of_texts(facts, may_group)
    return _role_of_numbers(facts, may_group)


def _role_of_texts(facts: Facts, may_group: bool) -> Role:
    n_rows, n_distinct = facts.n_rows, facts.n_distinct
    among = f"{n_distinct:,} different texts in {counted(n_rows, 'row')}"
    if n_distinct == facts.n_present:
        return Role(facts, "drop", "a text of its own in each row: names the row, or is free text")
    if n_distinct > max(FEW_VALUES, n_rows / 2):
        return Role(facts, "drop", f"{among}: names rows, or is free text", may_group=may_group)
    if _too_many(facts):
        reason = f"{among}: too few rows for each to learn from"
        return Role(facts, "drop", reason, may_group=may_group)
    role = Role(facts, may_group=may_group)
    if n_distinct > _MANY_INPUTS:
        role.notes.append(f"{short(facts.name)} has {among}, and each becomes an input")
    return role


def _role_of_numbers(facts: Facts, may_group: bool) -> Role:
    words = _words(facts.name)
    named, n_distinct = short(facts.name), facts.n_distinct
    unique = facts.whole and n_distinct == facts.n_present
    if unique and facts.consecutive:
        return Role(facts, "drop", "counts the rows: the networks would learn them by heart")
    if unique and (_is_identifier(words) or (facts.ordered and not _MOMENTS & {*words})):
        return Role(facts, "drop", "a whole number of its own in each row: names the row")
    if (
        facts.whole
        and not unique
        and n_distinct >= _MORE_THAN_TWO
        and (facts.zeros or _is_code(words))
    ):
        why = "some begin with a zero" if facts.zeros else "by its name"
        what = f"{n_distinct:,} different whole numbers, and codes, {why}"
        if _too_many(facts):
            reason = f"{what}: too few rows for each to learn from"
            return Role(facts, "drop", reason, may_group=may_group)
        return Role(facts, "categorical", what, may_group=may_group)
    notes = []
    if unique and facts.n_present > FEW_VALUES:
        notes.append(
            f"{named} has a whole number of its own in each row: drop it if it names the row"
        )
    can_order = bool(_MOMENTS & {*words}) and not facts.n_missing and n_distinct >= _MORE_THAN_TWO
    return Role(
        facts,
        notes=notes,
        may_group=may_group,
        may_order=can_order,
        may_be_names=facts.whole and _MORE_THAN_TWO <= n_distinct <= _SCALE,
    )


def _too_many(facts: Facts) -> bool:
    """Whether categories are so many that most have only a few rows."""
    few_rows_each = facts.n_distinct > facts.n_rows / _ROWS_A_CATEGORY
    return facts.n_distinct > MAX_CATEGORIES or (facts.n_distinct > _MANY_INPUTS and few_rows_each)


def _words(name: str) -> list[str]:
    """The words of a name.

    >>> _words("customerID"), _words("area_code"), _words("ZIPCode"), _words("x-1")
    (['customer', 'id'], ['area', 'code'], ['zip', 'code'], ['x', '1'])
    """
    return [word.lower() for word in _WORD.findall(name)]


def _is_identifier(words: Sequence[str]) -> bool:
    return bool(words) and words[-1] in _IDENTIFIERS


def _is_code(words: Sequence[str]) -> bool:
    return bool(words) and (words[-1] in _CODES or bool(_PLACES & {*words}))


def _may_group(facts: Facts) -> bool:
    """Whether the column names something that several rows are about.

    It takes enough of them that each part of the split gets some.
    """
    words = _words(facts.name)
    named = bool(words) and (words[-1] in _GROUPS or (len(words) > 1 and _is_identifier(words)))
    is_name = facts.kind == "texts" or facts.whole
    repeats = FEW_VALUES / 2 <= facts.n_distinct <= facts.n_present / 2
    return named and is_name and repeats and not facts.n_missing


def notes_on(roles: Sequence[Role]) -> tuple[str, ...]:
    """What a person should decide about the columns that stay, a sentence each."""
    kept = [role for role in roles if role.part != "drop"]
    notes = [note for role in kept for note in role.notes]
    names = [role.name for role in kept if role.may_be_names and role.part == "feature"]
    if names:
        has = "has" if len(names) == 1 else "have"
        notes.append(
            f"{listed(names)} {has} a few whole numbers each: what are names and no amounts "
            "belongs under categorical"
        )
    return tuple(notes)
