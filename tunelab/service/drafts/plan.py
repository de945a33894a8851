"""What a study of a table should be: task, split, metric and monitor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunelab.datasets.sources.flaws import counted, listed, short
from tunelab.datasets.survey import Target
from tunelab.errors import UsageError
from tunelab.service.drafts.columns import FEW_VALUES, Role
from tunelab.service.drafts.draft import Alternative, Reasoned

TINY, SMALL, LARGE = 200, 1000, 100_000  # rows
_ROWS_A_CLASS = 5
_LEAST_OF_CLASS = 3  # one for each part
_IMBALANCE = 3.0


def task_of(targets: Sequence[Target], asked: str | None) -> Reasoned:
    """Classification of words and of few whole numbers, regression of all others.

    Raises:
        UsageError: If several columns are asked for that regression cannot predict.
    """
    if len(targets) > 1:
        words = [target.facts.name for target in targets if target.facts.kind == "texts"]
        if words or asked == "classification":
            what = f"; {listed(words)} has texts" if words else ""
            raise UsageError(
                f"--target: several targets must be numbers, for regression{what}",
                hint="name one target",
            )
        return Reasoned("regression", f"{len(targets)} targets: numbers, predicted together.")
    facts, counts = targets[0].facts, targets[0].counts
    named = short(facts.name)
    if asked is not None:
        return Reasoned(asked, "As asked for by --task.")
    is_text = facts.kind == "texts"
    if is_text:
        why = f"{named} has {facts.n_distinct:,} different texts: classes."
        return Reasoned("classification", why)
    different = f"{facts.n_distinct:,} different numbers"
    change = "To change that, run `tunelab init` with --task"
    few = facts.n_distinct <= min(FEW_VALUES, facts.n_present / _ROWS_A_CLASS)
    if facts.kind == "almost numbers" and facts.n_distinct <= FEW_VALUES:
        return Reasoned("classification", f"{named} has few different texts: classes.")
    if facts.n_distinct <= 2 and facts.kind == "numbers":
        return Reasoned("classification", f"{named} has {different}: classes.")
    if facts.whole and few and int(counts.min()) >= _LEAST_OF_CLASS:
        why = f"{named} has {different}, all whole: classes. {change} regression."
        return Reasoned("classification", why)
    why = f"{named} has {different} in {counted(facts.n_present, 'row')}: amounts."
    if facts.whole and facts.n_distinct <= FEW_VALUES:
        why += f" {change} classification."
    return Reasoned("regression", why)


def split_of(
    n_rows: int, roles: Sequence[Role], task: str
) -> tuple[Reasoned, tuple[Alternative, ...]]:
    """The split, and others that may suit the data better."""
    validation, test, why = 0.2, 0.2, ""
    if n_rows < TINY:
        validation, why = 0.3, f" With {n_rows:,} rows, 20 % would be too few to compare by."
    elif n_rows >= LARGE:
        validation, test, why = 0.1, 0.1, " A tenth of so many rows is enough to compare by."
    kept = "the shares of the classes" if task == "classification" else "low and high targets alike"
    reason = f"stratified keeps {kept} in all three parts.{why}"
    shares = {"validation": validation, "test": test}
    others = [
        Alternative(
            "Where rows will be added later, hash keeps every row in its part, and copies of a row "
            "together:",
            {**shares, "method": "hash", "seed": 0},
        )
    ]
    for role in roles:
        named, n_values = short(role.name), f"{role.facts.n_distinct:,}"
        if role.may_group:
            listed_too = role.part == "categorical"
            also = f", with {named} no longer under categorical" if listed_too else ""
            others.append(
                Alternative(
                    f"{named} has {n_values} values in {role.facts.n_rows:,} rows. Where the rows "
                    f"of one belong together, keep them in one part{also}:",
                    {**shares, "method": "group", "group": role.name, "seed": 0},
                )
            )
        if role.may_order:
            others.append(
                Alternative(
                    f"{named} is a time. Where later rows are to be foretold from earlier ones, "
                    "validate and test on the latest:",
                    {**shares, "method": "time", "time": role.name, "seed": 0},
                )
            )
    section = {**shares, "method": "stratified", "seed": 0}
    return Reasoned(section, reason), tuple(others)


def metric_of(targets: Sequence[Target], task: str) -> tuple[Reasoned, bool]:
    """The objective, and whether the classes are so uneven that weights may help."""
    if task == "regression":
        if len(targets) > 1:
            why = "The loss of standardised targets, so that no unit outweighs another; or r2."
            return Reasoned("validation_loss", why), False
        return Reasoned("rmse", "In the target's own unit; or mae, r2, validation_loss."), False
    counts = targets[0].counts
    if len(counts) < 2:
        return Reasoned("validation_loss", ""), False
    smallest, largest = int(np.argmin(counts)), int(np.argmax(counts))
    few, many = int(counts[smallest]), int(counts[largest])
    if many < _IMBALANCE * few:
        why = "The loss tells more than accuracy where rows are few; or accuracy, f1_macro."
        return Reasoned("validation_loss", why), False
    labels = targets[0].labels
    share = many / int(counts.sum())
    metric = "balanced_accuracy" if len(counts) == 2 else "f1_macro"
    why = (
        f"{short(labels[largest])} has {many:,} rows and {short(labels[smallest])} {few:,}: "
        f"{share:.0%} are right by always saying {short(labels[largest])}. {metric} counts "
        "every class alike; or roc_auc, validation_loss."
    )
    return Reasoned(metric, why), True


def preset_of(n_train_rows: int) -> Reasoned:
    """How soon the monitor may stop a trial."""
    if n_train_rows < SMALL:
        why = "Few validation rows give curves that shake: wait longer before a trial is stopped."
        return Reasoned("careful", why)
    return Reasoned("default", "")
