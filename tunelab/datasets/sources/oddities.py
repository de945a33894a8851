"""What is probably a mistake in data of which every single value is right."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources.base import Targets
from tunelab.datasets.sources.cells import is_number
from tunelab.datasets.sources.flaws import Flaw, counted, listed, short, shown_text

MAX_CATEGORIES = 1000
"""Each category becomes an input of the network, and each class an output."""

_FEW = 20
"""So many different values are ordinary, whatever the number of rows."""

_MANY_INPUTS = 50
"""A column may become so many inputs without a word, whatever the number of rows."""

_MOST_SPELLINGS = 4
"""Spellings of a text that are told, and texts whose spellings are."""


def of_targets(
    targets: Mapping[str, npt.NDArray[Any]],
    labels: Targets,
    class_names: tuple[str, ...],
    rows: npt.NDArray[np.intp],
) -> list[Flaw]:
    """What makes targets useless.

    Args:
        targets: The columns, without missing values.
        labels: The same as a network learns them.
        class_names: One a label; none for regression.
        rows: Where each row stands in the table.
    """
    if class_names:
        ((name, values),) = targets.items()
        return list(_of_classes(name, values, labels, class_names, rows))
    return [
        Flaw(
            f"every row has the same value of the target {short(name)}, {values[0]:g}",
            key="data.target",
        )
        for name, values in targets.items()
        if np.ptp(values) == 0
    ]


def _of_classes(
    name: str,
    values: npt.NDArray[Any],
    labels: Targets,
    class_names: tuple[str, ...],
    rows: npt.NDArray[np.intp],
) -> Iterator[Flaw]:
    n_classes, n_rows = len(class_names), len(labels)
    if n_classes == 1:
        only = f"every row of column {short(name)} is {short(class_names[0])}"
        yield Flaw(f"needs two classes or more; {only}", key="data.target")
        return
    numbers = values.dtype.kind == "f"
    if numbers and _measured(values, n_classes):
        message = (
            f"column {short(name)} has {n_classes:,} different numbers in {counted(n_rows, 'row')}"
        )
        yield Flaw(message, "set task: regression to predict numbers", key="data.target")
        return
    if n_classes > MAX_CATEGORIES or (n_classes > _FEW and n_classes > n_rows / 2):
        message = f"column {short(name)} has {n_classes:,} classes in {counted(n_rows, 'row')}"
        yield Flaw(message, "name a column of classes", key="data.target")
        return
    alike: dict[str, list[str]] = {}
    for class_name in class_names:
        alike.setdefault(_plain(class_name), []).append(class_name)
    counts = np.bincount(labels, minlength=n_classes)
    for label in np.flatnonzero(counts == 1):
        others = [
            other for other in alike[_plain(class_names[label])] if other != class_names[label]
        ]
        hint = "correct the class if it is misspelled, else add rows of it or remove this one"
        yield Flaw(
            f"the only row of class {short(class_names[label])}",
            f"did you mean {shown_text(others[0])}? {hint}" if others else hint,
            row=int(rows[np.argmax(labels == label)]),
            column=name,
        )


def _measured(values: npt.NDArray[np.float64], n_classes: int) -> bool:
    """Whether numbers look like measurements rather than names of classes."""
    whole = bool(np.all(values == np.floor(values)))
    return n_classes > _FEW and (not whole or n_classes > len(values) / 5)


def of_categories(
    features: Mapping[str, npt.NDArray[Any]], categorical: Collection[str]
) -> Iterator[Flaw]:
    """Categories that are none, each column for itself.

    Args:
        features: Some columns. Missing values are NaN or None.
        categorical: Those that were listed as categorical, and so are no mistake.
    """
    for name, values in features.items():
        if values.dtype.kind == "O":
            yield from _of_categories(name, _texts(values), len(values), asked=name in categorical)


def of_constants(features: Mapping[str, npt.NDArray[Any]]) -> Iterator[Flaw]:
    """All features, if not one of them varies."""
    if all(_constant(values) for values in features.values()):
        which = "column" if len(features) == 1 else "columns"
        yield Flaw(f"no feature varies: every row is the same in {which} {listed([*features])}")


def _of_categories(name: str, texts: set[str], n_rows: int, *, asked: bool) -> Iterator[Flaw]:
    n_texts = len(texts)
    one_each = not asked and n_texts > _FEW and n_texts > n_rows / 2
    if not one_each and n_texts <= MAX_CATEGORIES:
        return
    example = shown_text(min(texts))
    among = f"{n_texts:,} different texts in {counted(n_rows, 'row')}"
    message = f"column {short(name)} has {among}: {example}"
    if any(character.isdigit() for character in example) and _looks_like_dates(texts):
        hint = "list it under data.drop, or write dates as numbers, such as days since a day"
    elif n_texts > MAX_CATEGORIES:
        hint = f"list it under data.drop; a category column has at most {MAX_CATEGORIES}"
    else:
        hint = "list it under data.drop if it identifies rows, else under data.categorical"
    yield Flaw(message, hint)


def _texts(values: npt.NDArray[Any]) -> set[str]:
    return {text for text in values.tolist() if text is not None}


def _looks_like_dates(texts: Collection[str]) -> bool:
    marks = "-/.:T Z+"
    return all(text.strip("0123456789" + marks) == "" and not is_number(text) for text in texts)


def _constant(values: npt.NDArray[Any]) -> bool:
    if values.dtype.kind == "O":
        return len(set(values.tolist())) == 1
    return bool(np.all(values == values[0]))


def notes(
    features: Mapping[str, npt.NDArray[Any]], targets: Mapping[str, npt.NDArray[Any]]
) -> Iterator[str]:
    """What is odd and may be meant, a sentence each."""
    constant = [name for name, values in features.items() if _constant(values)]
    if constant:
        which, end = ("column", "it has") if len(constant) == 1 else ("columns", "they have")
        yield f"{which} {listed(constant)}: the same value in every row, so {end} no effect"
    for name, values in features.items():
        if _counts_rows(values):
            remedy = "list it under data.drop unless it means more"
            yield f"column {short(name)} counts the rows; {remedy}"
        for target, wanted in targets.items():
            if values.dtype == wanted.dtype and np.array_equal(values, wanted):
                equal = f"column {short(name)} equals the target {short(target)}"
                yield f"{equal}; list it under data.drop"
    for name, values in (*features.items(), *targets.items()):
        if values.dtype.kind != "O":
            continue
        texts = _texts(values)
        if name in features and len(texts) > max(_MANY_INPUTS, len(values) / 10):
            among = f"{len(texts):,} different texts in {counted(len(values), 'row')}"
            yield f"column {short(name)} has {among}, and each becomes an input"
        yield from _spellings(name, texts)


def _spellings(name: str, texts: Collection[str]) -> Iterator[str]:
    """A note on texts of a column that a person would take for one."""
    alike: dict[str, list[str]] = {}
    for text in sorted(texts):
        alike.setdefault(_plain(text), []).append(text)
    groups = [group for group in alike.values() if len(group) > 1]
    if not groups:
        return
    shown = " and ".join(
        ", ".join(shown_text(text) for text in group[:_MOST_SPELLINGS])
        for group in groups[:_MOST_SPELLINGS]
    )
    more = len(groups) - _MOST_SPELLINGS
    shown += f" and {more:,} more such texts" if more > 0 else ""
    cased = all(len({text.casefold() for text in group}) == 1 for group in groups)
    what = "case" if cased else "case or blanks"
    yield (
        f"column {short(name)}: {shown} differ only in {what}; correct them if they mean the same"
    )


def _plain(text: str) -> str:
    """A text without what a person overlooks.

    >>> _plain("New  York") == _plain("new york")
    True
    """
    return " ".join(text.casefold().split())


def _counts_rows(values: npt.NDArray[Any]) -> bool:
    return (
        values.dtype.kind == "f"
        and len(values) > 1
        and bool(np.all(values == values[0] + np.arange(len(values))))
    )
