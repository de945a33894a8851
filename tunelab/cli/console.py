"""The two streams: data goes to standard output, everything else to standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from tunelab.cli.formats import clean_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_NO_ESCAPES = ("dumb", "unknown")


def wants_plain() -> bool:
    """Whether the environment asks for text without escapes: NO_COLOR, CI, or a dumb terminal.

    A terminal that has no name cannot be trusted to understand them; Windows names none.
    """
    variables = os.environ
    terminal = variables.get("TERM") or ("dumb" if os.name == "posix" else "")
    return bool(variables.get("NO_COLOR") or variables.get("CI")) or terminal in _NO_ESCAPES


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person reads the stream (a closed one is read by nobody)."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def terminal_width() -> int:
    """Columns of the terminal; COLUMNS overrides it."""
    return shutil.get_terminal_size((100, 30)).columns


def make_console(stream: IO[str]) -> Console:
    """A console that writes colours to a terminal that wants them, and plain text elsewhere."""
    from rich.console import Console

    styled = is_terminal(stream) and not wants_plain()
    return Console(
        file=stream,
        force_terminal=styled,
        color_system="auto" if styled else None,
        width=None if is_terminal(stream) else terminal_width(),
        highlight=False,
        markup=False,
        emoji=False,
    )


def put_json(document: dict[str, Any], *, line: bool = False) -> None:
    """Write one JSON document to standard output; ``line``: on a single line, at once."""
    # ASCII: no character of a name or a reason can reach the terminal as an escape.
    put(json.dumps(document, indent=None if line else 2, allow_nan=False), flush=line)


def put(text: str, *, flush: bool = False) -> None:
    """Write a line of data to standard output."""
    print(text, file=sys.stdout, flush=flush)


def put_text(text: str) -> None:
    """Write a document to standard output as it is, its line ends included."""
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # a stream that holds text alone
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    buffer.write(text.encode("utf-8"))
    buffer.flush()


def put_lines(lines: Iterable[Text]) -> None:
    """Write lines of data, with their styles where standard output shows them."""
    console = make_console(sys.stdout)
    for line in lines:
        console.print(line, soft_wrap=True)


def tell(text: str) -> None:
    """Write a line for the person at the terminal to standard error."""
    print(clean_lines(text), file=sys.stderr, flush=True)
