"""CSV that a spreadsheet opens as what it is: texts stay texts, whoever wrote them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from unicodedata import category

# What makes a spreadsheet compute a cell; the wide forms count in East Asian versions.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, directions, halves of pairs, line ends


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""A table as RFC 4180 has it: CRLF, quotes where they are needed, empty for None.

    Numbers are written in full. A text that a spreadsheet would take for a formula begins with an
    apostrophe; control characters are shown as their escapes, so that a row stays one line.

    >>> csv_text(["number", "reason"], [[-0.5, "=cmd()"], [1, 'a "b",\nc'], [None, "x"]])
    'number,reason\r\n-0.5,\'=cmd()\r\n1,"a ""b"",\\nc"\r\n,x\r\n'
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(name) for name in head])
    for row in rows:
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = "".join(_visible(character) for character in value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _visible(character: str) -> str:
    if category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")
