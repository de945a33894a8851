"""What becomes of missing values, and which columns cost too many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tunelab.datasets.sources.flaws import short
from tunelab.datasets.survey import Target
from tunelab.service.drafts.columns import Role
from tunelab.service.drafts.draft import Reasoned

_MOST_DROPPED = 0.05
_MOST_LOST = 0.2


def settle_missing(roles: Sequence[Role], targets: Sequence[Target]) -> tuple[list[Role], Reasoned]:
    """The policy for missing values; columns that would cost too many rows are dropped for it."""
    roles = list(roles)
    in_target = [target.facts for target in targets if target.facts.gaps is not None]
    n_rows = targets[0].facts.n_rows
    lost = np.zeros(n_rows, dtype=bool)
    for facts in in_target:
        lost |= facts.gaps if facts.gaps is not None else False
    n_without_target = int(lost.sum())
    counts = {role.name: role.facts.n_missing for role in roles if _gappy(role)}
    for role in roles:
        if _gappy(role):
            lost |= role.facts.gaps if role.facts.gaps is not None else False
    if not lost.any():
        why = "No cell is empty; should one be later, `error` tells where."
        return roles, Reasoned("error", why)
    where = ", ".join(f"{short(name)} {n:,}" for name, n in _worst(counts))
    where = f" ({where})" if counts else ""
    n_lost = int(lost.sum())
    if not n_without_target and n_lost > _MOST_DROPPED * n_rows:
        why = (
            f"{n_lost:,} of {n_rows:,} rows lack a value{where}, too many to leave out: impute "
            "puts the training rows' median or most frequent text in its place."
        )
        return roles, Reasoned("impute", why)
    if n_without_target:
        roles, where = _affordable(roles, targets, where)
        why = (
            f"{n_without_target:,} of {n_rows:,} rows have no target, and only drop leaves them "
            f"out, with all others that lack a value{where}."
        )
        return roles, Reasoned("drop", why)
    why = f"{n_lost:,} of {n_rows:,} rows lack a value{where}: few enough to leave out."
    why += " Rows to predict must then be complete, too; impute keeps them and fills gaps."
    return roles, Reasoned("drop", why)


def _gappy(role: Role) -> bool:
    return role.part != "drop" and role.facts.gaps is not None


def _worst(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]


def _affordable(roles: list[Role], targets: Sequence[Target], where: str) -> tuple[list[Role], str]:
    """Drop the emptiest columns until the others cost few of the rows that have a target."""
    has_target = np.ones(targets[0].facts.n_rows, dtype=bool)
    for target in targets:
        has_target &= target.codes >= 0
    n_usable = int(has_target.sum())
    while True:
        gappy = [role for role in roles if _gappy(role)]
        lost = np.zeros_like(has_target)
        for role in gappy:
            lost |= has_target & np.asarray(role.facts.gaps)
        if not gappy or int(lost.sum()) <= _MOST_LOST * n_usable:
            return roles, where
        worst = max(gappy, key=lambda role: role.facts.n_missing)
        reason = (
            f"empty in {worst.facts.n_missing:,} rows, which would be left out with those that "
            "have no target: give only rows with one, and it can stay"
        )
        dropped = Role(worst.facts, "drop", reason)
        roles = [dropped if role is worst else role for role in roles]
        where = ""


def kept_rows(roles: Sequence[Role], targets: Sequence[Target], policy: str) -> int:
    """How many rows take part."""
    kept = np.ones(targets[0].facts.n_rows, dtype=bool)
    if policy == "drop":
        for target in targets:
            kept &= target.codes >= 0
        for role in roles:
            if _gappy(role):
                kept &= ~np.asarray(role.facts.gaps)
    return int(kept.sum())
