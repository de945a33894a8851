"""Labelled lines: ``best    trial 38 ...``, continued under one another where they are long."""

from __future__ import annotations

import sys
import textwrap

from rich.text import Text

from tunelab.cli.console import is_terminal, make_console, terminal_width
from tunelab.cli.formats import clean

INDENT = 8


def labelled(label: str, *parts: str) -> Text:
    """A line with a label; on a terminal it is broken at spaces, in a pipe it stays one line.

    >>> labelled("best", "trial 38", "", "epoch 25/30").plain
    'best    trial 38  epoch 25/30'
    """
    body = "  ".join(clean(part) for part in parts if part)
    if is_terminal(sys.stdout):
        body = folded(body, terminal_width())
    return Text.assemble((f"{label:<{INDENT}}", "dim"), body)


def folded(body: str, width: int) -> str:
    """Text broken at spaces to fit beside a label.

    >>> print(folded("optimizer=adam units=128", 24))
    optimizer=adam
            units=128
    """
    lines = textwrap.wrap(
        body, max(width - INDENT, 1), break_long_words=False, break_on_hyphens=False
    )
    return ("\n" + " " * INDENT).join(lines)


def wrapped(line: Text) -> list[Text]:
    """A line that is broken at spaces where a terminal is too narrow for it, its styles kept."""
    if not is_terminal(sys.stdout):
        return [line]
    lines = list(line.wrap(make_console(sys.stdout), terminal_width()))
    for part in lines:
        part.rstrip()
    return lines
