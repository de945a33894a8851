"""What is wrong with a text as YAML, in words that name no library."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple


class Mark(NamedTuple):
    """A position in a file; line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Flaw:
    """A problem of the text itself, before any meaning.

    Attributes:
        mark: Where it is.
        place: Keys and list indices that lead there, as far as they are known.
        message: What must hold and what was found.
        hint: What to do, or None.
        covers: Whether nothing more needs to be said about the value there.
    """

    mark: Mark
    place: tuple[str | int, ...]
    message: str
    hint: str | None = None
    covers: bool = False


ANCHOR_HINT = "text that begins with * or & needs quotes"

_HINTS = {
    "mapping values are not allowed": "put a value that contains ': ' in quotes",
    "could not find expected ':'": "a key ends in a colon and a space",
    "expected alphabetic or numeric character": ANCHOR_HINT,
    "found character": "put the value in quotes",
    "expected <block end>": "bring the line to the indentation of its neighbours",
}
_TOKENS = {
    "<block end>": "the end of the indented lines",
    "<stream end>": "the end of the file",
    "<document start>": "the start of a document",
    "<block mapping start>": "a key",
    "<block sequence start>": "a list item",
    "<scalar>": "a value",
    "'?'": "a key",
    "that cannot start any token": "that no value begins with",
}


def syntax_flaw(error: Exception, text: str) -> Flaw:
    """The flaw behind an exception of the parser."""
    mark: Any = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None)
    if mark is None:
        position = getattr(error, "position", None)
        where = mark_at(text, position if isinstance(position, int) else len(text))
        return Flaw(where, (), "not valid YAML")
    where = Mark(mark.line + 1, mark.column + 1)
    lines = text.splitlines()
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    if rest.startswith("\t"):
        return Flaw(where, (), "tabs cannot indent", "use spaces")
    words = str(problem or "not understood")
    hint = next((hint for start, hint in _HINTS.items() if words.startswith(start)), None)
    return Flaw(where, (), f"not valid YAML: {_reworded(words)}", hint)


def mark_at(text: str, index: int) -> Mark:
    r"""The position of a character of ``text``.

    >>> mark_at("ab\ncd", 4)
    Mark(line=2, column=2)
    """
    before = text[:index]
    return Mark(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _reworded(words: str) -> str:
    for token, meaning in _TOKENS.items():
        words = words.replace(f"'{token}'", meaning).replace(token, meaning)
    return re.sub(r"\s+", " ", words)
