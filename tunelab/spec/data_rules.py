"""Which keys of a study file's data section go with which source, and what their values may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunelab.spec.part import Complaint
from tunelab.spec.rules import RefusedError, shown

_TABLE_KEYS = ("path", "target", "drop", "keep", "categorical", "missing")

SOURCE_KEYS: dict[str, tuple[str, ...]] = {
    "sklearn": ("name",),
    "csv": (*_TABLE_KEYS, "delimiter"),
    "parquet": _TABLE_KEYS,
    "npz": _TABLE_KEYS,
}
"""Source -> the keys that have an effect with it, besides those that every source has."""

NEEDED_KEYS: dict[str, tuple[str, ...]] = {
    "sklearn": ("name",),
    "csv": ("path", "target"),
    "parquet": ("path", "target"),
    "npz": ("path",),
}

DEFAULTS: dict[str, dict[str, Any]] = {
    "sklearn": {},
    "csv": {"delimiter": ",", "missing": "error"},
    "parquet": {"missing": "error"},
    "npz": {"target": ("y",), "missing": "error"},
}
"""Source -> key -> what a key that is left out means."""

MISSING_POLICIES = ("error", "impute", "drop")

_LONGEST_PATH = 4096
_NO_DELIMITERS = "\"'\r\n\0.+-"


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """The section with the defaults of its source."""
    source = given.get("source")
    defaults = DEFAULTS.get(source, {}) if isinstance(source, str) else {}
    return {**given, **{key: defaults[key] for key in defaults if given.get(key) is None}}


def wrong_keys(given: Mapping[str, Any]) -> list[Complaint]:
    """Keys that the source needs and does not get, or gets and cannot use."""
    source = given.get("source")
    if not isinstance(source, str) or source not in SOURCE_KEYS:
        return []
    complaints = [
        Complaint((key,), RefusedError("is missing", "add this key", at_key=True))
        for key in NEEDED_KEYS[source]
        if given.get(key) is None
    ]
    elsewhere = {key for keys in SOURCE_KEYS.values() for key in keys} - {*SOURCE_KEYS[source]}
    return complaints + [
        Complaint(
            (key,),
            RefusedError(f"has no effect with source: {source}", "remove the key", at_key=True),
        )
        for key in given
        if key in elsewhere and given[key] not in (None, [], ())
    ]


def path(given: object) -> str | None:
    """The path of a file, as it was written.

    >>> path("~/people.csv")
    '~/people.csv'

    Raises:
        RefusedError: If it is no text, or cannot be a path.
    """
    if given is None:
        return None
    if not isinstance(given, str):
        raise RefusedError(f"must be the path of a file, got {shown(given)}", "put it in quotes")
    if not given.strip():
        raise RefusedError("must be the path of a file, got an empty text")
    if "://" in given:
        raise RefusedError(
            f"must be a file on this machine, got {shown(given)}", "download it, and give its path"
        )
    if len(given) > _LONGEST_PATH:
        raise RefusedError(f"must have at most {_LONGEST_PATH} characters, got {len(given)}")
    if not given.isprintable():
        raise RefusedError(f"must be printable text, got {shown(given)}")
    return given


def column_names(given: object) -> tuple[str, ...]:
    """One column or a list of columns, as a tuple.

    >>> column_names("age"), column_names(["age", "sex"]), column_names([])
    (('age',), ('age', 'sex'), ())

    Raises:
        RefusedError: If something in it is no name, or stands there twice.
    """
    if isinstance(given, Mapping) or not isinstance(given, str | Sequence):
        given = [given]
    names = [given] if isinstance(given, str) else list(given)
    for name in names:
        if not isinstance(name, str):
            number = isinstance(name, int | float)
            raise RefusedError(
                f"must be the name of a column, or a list of names, got {shown(name)}",
                "put the name in quotes" if number else None,
            )
        if not name:
            raise RefusedError("must be the name of a column, got an empty text")
        if names.count(name) > 1:
            raise RefusedError(f"{shown(name)} is listed twice")
    return tuple(names)


def some_column_names(given: object) -> tuple[str, ...] | None:
    """At least one column, or None for a key that is not given.

    Raises:
        RefusedError: As `column_names` does, and for an empty list.
    """
    if given is None:
        return None
    names = column_names(given)
    if not names:
        raise RefusedError("must name at least one column, got an empty list", "name one")
    return names


def delimiter(given: object) -> str | None:
    r"""The character between two fields. ``\t`` is a tab, whatever quotes it stands in.

    >>> delimiter(";"), delimiter("\\t")
    (';', '\t')

    Raises:
        RefusedError: If it is no such character.
    """
    if given is None:
        return None
    if given == "\\t":
        return "\t"
    if not isinstance(given, str) or len(given) != 1:
        raise RefusedError(
            f"must be one character, got {shown(given)}",
            r'for example delimiter: ";" or delimiter: "\t"',
        )
    if given.isalnum() or given in _NO_DELIMITERS or not (given == "\t" or given.isprintable()):
        raise RefusedError(
            f"must be a character that no number or quoting needs, got {shown(given)}",
            r'for example delimiter: ";" or delimiter: "\t"',
        )
    return given
