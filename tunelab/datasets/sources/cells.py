"""Columns of text as numbers or categories.

Text comes as pyarrow's arrays of strings: 8 bytes a cell beside the text itself, where Python's
strings take 50, and its conversions are exact and five times as fast as Python's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunelab.datasets.sources.flaws import Flaw, short, shown_text, which_of

Texts = Any
"""A pyarrow ``Array`` of strings, where null and some words mean a missing value."""

Objects = npt.NDArray[np.object_]
"""A str in each row, or None where the value is missing."""

MAX_OF_COLUMN = 3
"""Different texts of one column that are told because they are no numbers."""

MISSING_WORDS = (
    "", "NA", "<NA>", "N/A", "N/a", "n/a", "#N/A", "#n/a",
    "NaN", "nan", "NAN", "Nan", "null", "Null", "NULL", "None",
)  # fmt: skip
"""Texts that mean a missing value. Not ``none`` and ``na``, nor ``?`` and ``-``: they may be
categories."""

_PROBABLY_MISSING = frozenset({"?", "-", "--", ".", "na", "none", "missing", "#na"})
_IF_MISSING = (
    "leave the cell empty if the value is missing; NA, N/A, #N/A, NaN, null and None count as "
    "missing too"
)

_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INFINITY = r"^[+-]?(?i:inf|infinity)$"
_CODE = r"^0[0-9]+$"
_DIGITS = r"[0-9]+(?:\.[0-9]+)?"
_AMOUNT = r"[0-9](?:[0-9.,' ]*[0-9])?"
_EITHER_COMMA = r"^[+-]?[1-9][0-9]{0,2},[0-9]{3}$"


class _Almost(NamedTuple):
    """What a person takes for a number, and a computer does not.

    Attributes:
        pattern: How it is written.
        what: Why it is no number.
        advice: What to write instead.
        may_be_names: Whether such texts may also be meant as categories.
    """

    pattern: str
    what: str
    advice: str
    may_be_names: bool = False


_COMMAS, _DECIMAL_COMMA = "commas", "a decimal comma"
_ALMOST = (
    _Almost(
        r"^[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?$",
        _COMMAS,
        "write 1234567.8 for 1,234,567.8",
    ),
    _Almost(r"^[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?$", _DECIMAL_COMMA, "write 0.5 for 0,5"),
    _Almost(r"^[+-]?[0-9]{1,3}(?:\.[0-9]{3})+,[0-9]+$", _DECIMAL_COMMA, "write 1234.5 for 1.234,5"),
    _Almost(
        r"^[+-]?[0-9]{1,3}(?:[ '_\x{a0}\x{202f}][0-9]{3})+(?:[.,][0-9]+)?$",
        "separators",
        "write 1000",
    ),
    _Almost(rf"^[+-]?{_AMOUNT}\s*%$", "a percent sign", "write 12 for 12%"),
    _Almost(
        rf"^[+-]?[$€£¥]\s*{_AMOUNT}$|^[+-]?{_AMOUNT}\s*[$€£¥]$", "a currency", "write 5 for $5"
    ),
    _Almost(rf"^[<>≤≥]=?\s*{_DIGITS}$", "a comparison", "write the number alone", True),
    _Almost(r"^0[xX][0-9a-fA-F]+$", "another base", "write 31 for 0x1F", True),
    _Almost(r"^[0-9]+(?:_[0-9]+)+$", "underscores", "write 1000 for 1_000", True),
    _Almost(r"^[+-]?\p{Nd}+(?:\.\p{Nd}+)?$", "digits of another script", "write 0 to 9"),
)


@dataclass(frozen=True, eq=False)
class Cells:
    """A column, read.

    Attributes:
        values: float64, NaN where missing, 0 where wrong; or `Objects`.
        flaws: Why cells are no numbers where they must be, each reason once.
        n_more: Further texts that are none, which were only counted.
        note: What is odd about them and may be meant, a sentence.
    """

    values: npt.NDArray[Any]
    flaws: tuple[Flaw, ...] = ()
    n_more: int = 0
    note: str | None = None

    @property
    def categorical(self) -> bool:
        """Whether the values are texts."""
        return self.values.dtype.kind == "O"


@dataclass(frozen=True, eq=False)
class _Parsed:
    """Texts as numbers: NaN where the value is missing, 0 where it is wrong."""

    values: npt.NDArray[np.float64]
    wrong: npt.NDArray[np.bool_]
    missing: npt.NDArray[np.bool_]


def feature_cells(texts: Texts, name: str, *, categorical: bool) -> Cells:
    """A feature: numbers if every value is one, flaws if only most are, categories otherwise.

    Args:
        texts: Shape (n,).
        name: The column's name.
        categorical: Whether they are categories in any case.
    """
    if categorical:
        return Cells(objects(texts))
    parsed = _parse(texts)
    if not parsed.wrong.any():
        return Cells(parsed.values, note=_note_on_codes(texts, parsed.values, name))
    wrong = _stripped(texts).filter(_mask(parsed.wrong))
    n_meant = int(_are_almost_numbers(wrong).sum())
    n_numbers = len(parsed.values) - int(parsed.missing.sum()) - len(wrong)
    if n_numbers + n_meant > len(wrong) - n_meant:
        return _wrong_cells(parsed, wrong, name, is_feature=True)
    return Cells(objects(texts))


def _note_on_codes(texts: Texts, values: npt.NDArray[np.float64], name: str) -> str | None:
    """A note on whole numbers that begin with a zero, as those of areas and articles do."""
    if not np.all((values == np.floor(values)) | np.isnan(values)):
        return None  # not worth the time: looking at texts takes as long as reading them
    stripped = _stripped(texts)
    codes = stripped.filter(_mask(_matches(stripped, _CODE)))
    if not len(codes):
        return None
    example = shown_text(codes[0].as_py())
    return (
        f"column {short(name)} is read as numbers, and some begin with a zero, such as {example}; "
        "list it under data.categorical if they are names"
    )


def number_cells(texts: Texts, name: str) -> Cells:
    """A column that must be numbers, as a regression target."""
    parsed = _parse(texts)
    wrong = _stripped(texts).filter(_mask(parsed.wrong))
    all_wrong = len(wrong) > 0 and bool(np.all(parsed.wrong | parsed.missing))
    if all_wrong and 2 * _are_almost_numbers(wrong).sum() <= len(wrong):
        example = shown_text(wrong[0].as_py())
        texts_like = f"column {short(name)} has texts such as {example}"
        message = f"{texts_like}, but regression predicts numbers"
        hint = "name a column of numbers, or set task: classification"
        return Cells(parsed.values, (Flaw(message, hint, key="data.target"),))
    return _wrong_cells(parsed, wrong, name, is_feature=False)


def input_cells(texts: Texts, name: str) -> Cells:
    """A column that must be numbers because a model was trained on numbers."""
    parsed = _parse(texts)
    return _wrong_cells(parsed, _stripped(texts).filter(_mask(parsed.wrong)), name)


def label_cells(texts: Texts) -> Cells:
    """Classes: numbers if all are finite numbers, so that 1 and 1.0 are one class, else texts."""
    parsed = _parse(texts)
    all_numbers = not parsed.wrong.any() and not np.isinf(parsed.values).any()
    return Cells(parsed.values) if all_numbers else Cells(objects(texts))


def time_cells(texts: Texts, name: str) -> Cells:
    """Times: numbers if all are, else ISO dates as seconds since 1970; without a zone, of UTC."""
    parsed = _parse(texts)
    if not parsed.wrong.any():
        return Cells(parsed.values)
    values = np.full(len(parsed.values), np.nan)
    wrong = []
    seen: dict[str, float | None] = {}
    for row, text in enumerate(objects(texts).tolist()):
        if text is None:
            continue
        if text not in seen:
            seen[text] = _seconds(text)
        seconds = seen[text]
        if seconds is None:
            wrong.append((row, text))
        values[row] = seconds or 0.0
    if not wrong:
        return Cells(values)
    row, text = wrong[0]
    message = f"{shown_text(text)} is no date{which_of(len(wrong))}"
    hint = "write dates as 2030-01-31 or 2030-01-31T12:30:00"
    return Cells(values, (Flaw(message, hint, row=row, column=name),))


def objects(texts: Texts) -> Objects:
    """The texts without white space around them, None where the value is missing."""
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(_present(texts))
    known = encoded.dictionary.to_pylist()
    table = np.empty(len(known) + 1, dtype=object)  # its last entry is what -1 finds: None
    table[: len(known)] = known
    texts_by_row: Objects = table[_to_numpy(pc.fill_null(encoded.indices, -1))]
    return texts_by_row


def number_text(value: float) -> str | None:
    """A number as the name of a category or class; None for NaN.

    >>> number_text(3.0), number_text(-0.0), number_text(0.1), number_text(1e300)
    ('3', '0', '0.1', '1e+300')
    """
    if value != value:
        return None
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


def number_texts(values: npt.NDArray[np.float64]) -> Objects:
    """Numbers as categories, shape (n,)."""
    distinct, codes = np.unique(values, return_inverse=True)
    table = np.empty(len(distinct), dtype=object)
    table[:] = [number_text(value) for value in distinct.tolist()]
    return table[codes]


def is_number(text: str) -> bool:
    """Whether a cell with this text is a number.

    >>> is_number(" 1e5"), is_number("1_000"), is_number("inf")
    (True, False, False)
    """
    return re.match(_NUMBER, text.strip()) is not None


def _parse(texts: Texts) -> _Parsed:
    import pyarrow as pa
    import pyarrow.compute as pc

    nothing = np.zeros(len(texts), dtype=bool)
    try:  # Most columns are clean, and need no second look.
        values = _to_numpy(texts.cast(pa.float64()))
        if np.isfinite(values).all():
            return _Parsed(values, nothing, nothing)
    except pa.ArrowInvalid:
        pass
    present = _present(texts)
    missing = _to_numpy(pc.is_null(present)).astype(bool)
    try:
        values = _to_numpy(present.cast(pa.float64()))
        # The cast also takes words such as -nan(ind).
        odd = ~np.isfinite(values) & ~missing
        wrong = odd.copy()
        wrong[odd] = ~_are_numbers(present.filter(_mask(odd)))
    except pa.ArrowInvalid:
        wrong = ~_are_numbers(present) & ~missing
        numbers = pc.if_else(_mask(wrong), pa.scalar(None, present.type), present)
        values = _to_numpy(numbers.cast(pa.float64()))
    values[wrong] = 0.0
    return _Parsed(values, wrong, missing)


def _are_numbers(texts: Texts) -> npt.NDArray[np.bool_]:
    return _matches(texts, _NUMBER) | _matches(texts, _INFINITY)


def _are_almost_numbers(texts: Texts) -> npt.NDArray[np.bool_]:
    almost = np.zeros(len(texts), dtype=bool)
    for form in _ALMOST:
        almost |= _matches(texts, form.pattern)
    return almost


def _present(texts: Texts) -> Texts:
    """The stripped texts, null where the value is missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stripped = _stripped(texts)
    words = pc.is_in(stripped, value_set=pa.array(MISSING_WORDS, stripped.type))
    return pc.if_else(words, pa.scalar(None, stripped.type), stripped)


def _stripped(texts: Texts) -> Texts:
    import pyarrow.compute as pc

    return pc.utf8_trim_whitespace(texts)


def _matches(texts: Texts, pattern: str) -> npt.NDArray[np.bool_]:
    import pyarrow.compute as pc

    found = pc.fill_null(pc.match_substring_regex(texts, pattern), fill_value=False)
    return _to_numpy(found).astype(bool)


def _mask(mask: npt.NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(mask)


def _to_numpy(array: Any) -> npt.NDArray[Any]:
    """A pyarrow array as NumPy's, writable; null becomes NaN."""
    return np.array(array.to_numpy(zero_copy_only=False))


def _wrong_cells(parsed: _Parsed, wrong: Texts, name: str, *, is_feature: bool = False) -> Cells:
    """Each reason for which cells are no numbers, with the first such cell and how many there are.

    Args:
        parsed: The column.
        wrong: The texts of its wrong cells.
        name: Its name.
        is_feature: Whether it might be listed as categorical.
    """
    rows = np.flatnonzero(parsed.wrong)
    flaws = []

    def add(where: npt.NDArray[np.bool_], reason: str, advice: str, *, may_be_names: bool) -> None:
        first = int(np.argmax(where))
        message = f"{shown_text(wrong[first].as_py())} is no number{reason}"
        listable = ", or list the column under data.categorical"
        hint = advice + (listable if is_feature and may_be_names else "")
        flaws.append(
            Flaw(message + which_of(int(where.sum())), hint, row=int(rows[first]), column=name)
        )

    untold = np.ones(len(wrong), dtype=bool)
    decimal = _are_decimal_commas(wrong)
    for what, forms in _forms_by_reason().items():
        of_form = [untold & _matches(wrong, form.pattern) for form in forms]
        where = np.logical_or.reduce(of_form)
        if what == _DECIMAL_COMMA:
            where |= decimal
        else:
            where &= ~decimal
        if where.any():
            first = np.argmax(where)
            form = next((f for f, w in zip(forms, of_form, strict=True) if w[first]), forms[0])
            add(where, f": it has {what}", form.advice, may_be_names=form.may_be_names)
            untold &= ~where
    distinct = wrong.filter(_mask(untold)).unique().to_pylist()
    for text in distinct[:MAX_OF_COLUMN]:
        missing = text.lower() in _PROBABLY_MISSING
        where = untold & _equal(wrong, text)
        add(where, "", _IF_MISSING if missing else "correct it", may_be_names=True)
    return Cells(parsed.values, tuple(flaws), max(len(distinct) - MAX_OF_COLUMN, 0))


def _forms_by_reason() -> dict[str, list[_Almost]]:
    by_reason: dict[str, list[_Almost]] = {}
    for form in _ALMOST:
        by_reason.setdefault(form.what, []).append(form)
    return by_reason


def _are_decimal_commas(texts: Texts) -> npt.NDArray[np.bool_]:
    """Texts such as 1,234 where others, such as 0,5, tell that the comma is a decimal one."""
    either = _matches(texts, _EITHER_COMMA)
    if not either.any():
        return either
    sure = texts.filter(_mask(~either))
    by_reason = _forms_by_reason()
    is_decimal, has_thousands = (
        any(_matches(sure, form.pattern).any() for form in by_reason[what])
        for what in (_DECIMAL_COMMA, _COMMAS)
    )
    return either if is_decimal and not has_thousands else np.zeros_like(either)


def _equal(texts: Texts, text: str) -> npt.NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.fill_null(pc.equal(texts, pa.scalar(text, texts.type)), fill_value=False)
    return _to_numpy(found).astype(bool)


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
