"""Output that a terminal's encoding cannot show: plain characters in the place of drawn ones."""

from __future__ import annotations

import codecs
from unicodedata import east_asian_width

ERRORS = "tunelab.ascii"
"""Name of the error handler for streams, as ``errors="replace"`` is one."""

_PLAIN = str.maketrans(
    {
        **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*#@", strict=True)),  # each has more ink than the one before
        "×": "x",
        "━": "=",
        "╸": ">",
        "─": "-",
        "★": "*",
        "·": "|",
        "…": "~",
    }
)


def register() -> None:
    r"""Make the error handler known; characters without a plain form become question marks.

    >>> register()
    >>> "█▃▁× ★ ü".encode("ascii", ERRORS), "× ü".encode("latin-1", ERRORS)
    (b'@-.x * ?', b'\xd7 \xfc')
    """
    codecs.register_error(ERRORS, _replace)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAIN)
    # The columns of a table stay where they are: as many characters as it was wide.
    return "".join(c if c.isascii() else "?" * _width(c) for c in text), error.end


def _width(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1
