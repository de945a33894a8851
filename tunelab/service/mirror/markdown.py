"""Text from elsewhere inside of Markdown: names, reasons and descriptions are shown as written."""

from __future__ import annotations

import re
from unicodedata import category

# What begins a span, a link, a cell of a table, or a mention; `<`, `>` and `&` become entities,
# since MLflow's pages let HTML through that they hold for harmless.
_MARKS = re.compile(r"([\\`*_\[\]{}|~@#!])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plain(text: str, longest: int = 2000) -> str:
    r"""The text as one line of Markdown that shows it and does nothing else.

    Line ends become blanks, control characters are left out, and what is longer than ``longest``
    characters is cut before anything is marked.

    >>> plain("<b>a</b> [x](y)\n| _z_")
    '&lt;b&gt;a&lt;/b&gt; \\[x\\](y) \\| \\_z\\_'
    """
    words = " ".join(text.split())
    words = "".join(c for c in words if category(c) not in ("Cc", "Cf", "Cs"))
    if len(words) > longest:
        words = f"{words[:longest].rstrip()} ..."
    marked = _MARKS.sub(r"\\\1", words)
    return "".join(_ENTITIES.get(c, c) for c in marked)


def link(text: str, url: str) -> str:
    """A link to a page of MLflow's; ``url`` is one that this program has made."""
    return f"[{text}]({url})"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table; cells are Markdown already."""
    lines = [_line(head), _line(["---"] * len(head), ""), *map(_line, rows)]
    return [f"| {line} |" for line in lines]


def _line(cells: list[str], space: str = "&ensp;") -> str:
    # MLflow's pages put no space between two columns.
    return f"{space} | ".join(cells)
