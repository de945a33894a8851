"""The records of a CSV file, strictly read, and the places of their fields.

Lines are split here and, where they have quotes, by Python's own reader, because it tells the
lines of a record and refuses what it cannot be sure of.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from tunelab.datasets.sources.flaws import Flaw, shown_text

BLOCK_BYTES = 1 << 20
MAX_LINE = 10_000_000
"""Bytes of a line."""


_ESCAPED = "surrogateescape"  # bytes that are no UTF-8 become U+DC80 to U+DCFF
_NO_TEXT = re.compile("[\0\udc80-\udcff]")


class StopReadingError(Exception):
    """A flaw after which the rest of the file cannot be read."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


class WrongQuotesError(StopReadingError):
    """A record whose quotes make no sense with the delimiter."""


class Records:
    """The records of a CSV file in their order, blank ones left out.

    Lines end with LF, CRLF or CR. The text is UTF-8, with or without a byte order mark.

    Attributes:
        line: The line, from 1, in which the record begins that was given last.
        block_bytes: How much is read at a time.

    Args:
        file: Read from its beginning; nothing else may read it meanwhile.
        delimiter: The character between two fields.
    """

    def __init__(self, file: IO[bytes], delimiter: str) -> None:
        self.line = 0
        self.block_bytes = BLOCK_BYTES
        self._delimiter = delimiter
        self._blocks = self._read_blocks(file)
        self._block: bytes | None = None  # has been looked at, and not been taken
        self._lines: list[str] = []  # of the block that was taken last
        self._n_taken = 0  # of these lines
        self._record: list[str] = []
        self._next_line = 1

    @property
    def text(self) -> str:
        """The record that was given last, as it stands in the file."""
        return "".join(self._record)

    def look_ahead(self) -> bytes:
        """The next block of whole lines, if the last one has been used up; else nothing."""
        if self._n_taken < len(self._lines):
            return b""
        if self._block is None:
            self._block = next(self._blocks, b"")
        return self._block

    def skip_block(self, n_lines: int) -> None:
        """Leave out the block that was looked at."""
        self._block = None
        self._next_line += n_lines

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        """The fields of the next record.

        Raises:
            StopReadingError: If it cannot be read.
        """
        while True:
            self.line = self._next_line
            self._record.clear()
            line = self._take_line()
            if '"' in line:
                fields = self._split_quoted(line)
            else:
                fields = line.rstrip("\r\n").split(self._delimiter)
            if not is_blank(fields):
                return fields

    def reader(self, lines: Iterable[str]) -> Any:
        """Python's reader of records with quotes."""
        return csv.reader(
            lines,
            delimiter=self._delimiter,
            strict=True,
            skipinitialspace=self._delimiter != " ",  # a quote may follow ", "
        )

    def _take_line(self) -> str:
        """The next line with its end."""
        if self._n_taken == len(self._lines):
            block = self.look_ahead()
            if not block:
                raise StopIteration
            self._block = None
            self._lines = list(io.StringIO(block.decode(errors=_ESCAPED), newline=""))
            self._n_taken = 0
        line = self._lines[self._n_taken]
        if "\0" in line or not line.isascii():
            _check_text(line, self._next_line)
        self._n_taken += 1
        self._next_line += 1
        self._record.append(line)
        return line

    def _read_blocks(self, file: IO[bytes]) -> Iterator[bytes]:
        """The file without its byte order mark, in blocks of whole lines."""
        file.seek(0)
        rest = file.read(3).removeprefix(b"\xef\xbb\xbf")
        n_lines = 1
        while more := file.read(self.block_bytes):
            rest += more
            # A CR that ends what has been read may be half of a CRLF.
            end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
            if end:
                block, rest = rest[:end], rest[end:]
                yield block
                n_lines += count_lines(block)
            elif len(rest) > MAX_LINE:
                message = f"a line must have at most {MAX_LINE:,} bytes, got more"
                raise StopReadingError(Flaw(message, line=n_lines))
        if rest:
            yield rest

    def _split_quoted(self, line: str) -> list[str]:
        """The fields of the record that begins with ``line``; takes the lines that belong to it."""
        try:
            fields: list[str] = next(self.reader(itertools.chain((line,), self._further_lines())))
        except csv.Error as error:
            raise WrongQuotesError(self._wrong_quotes(str(error))) from None
        return fields

    def _further_lines(self) -> Iterator[str]:
        try:
            while True:
                yield self._take_line()
        except StopIteration:
            return

    def _wrong_quotes(self, reason: str) -> Flaw:
        """What is wrong with the quotes of the record that the reader gave up."""
        text = self.text
        starts, closed = field_starts(text, self._delimiter)
        if not closed:
            line, at = line_and_column(text, starts[-1], self.line)
            message = f"line {line}: a quote opens here and never closes"
            return Flaw(message, "write a quote inside a quoted field twice", line=line, at=at)
        if "field limit" in reason:
            lengths = [end - start for start, end in itertools.pairwise([*starts, len(text)])]
            longest = starts[lengths.index(max(lengths))]
            line, at = line_and_column(text, longest, self.line)
            limit = csv.field_size_limit()
            message = f"line {line}: a quoted field must have at most {limit:,} characters"
            return Flaw(message, line=line, at=at)
        start, end = _overrun(text, starts, self._delimiter)
        line, at = line_and_column(text, start, self.line)
        last_line, _ = line_and_column(text, end, self.line)
        closes = "closes" if last_line == line else f"closes in line {last_line}"
        rest = shown_text(text[end : end + 9])
        return Flaw(
            f"line {line}: a quote opens here and {closes} before {rest}",
            "write a quote inside a quoted field twice, and the delimiter after a closing one",
            line=line,
            at=at,
        )


def _check_text(line: str, number: int) -> None:
    """Refuse a line with bytes that are no UTF-8, or NUL."""
    odd = _NO_TEXT.search(line)
    if odd is None:
        return
    if odd[0] == "\0":
        message = f"line {number} has a NUL character"
        hint = "the file is damaged or no text: write it again as UTF-8"
    else:
        message = f"line {number}: must be UTF-8 text, got the byte 0x{ord(odd[0]) - 0xDC00:02x}"
        hint = "save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8"
    raise StopReadingError(Flaw(message, hint, line=number, at=odd.start() + 1))


def count_lines(block: bytes) -> int:
    r"""The lines that a block ends; the last one of a file may lack its end.

    >>> count_lines(b"1\n2\r\n3\r4")
    4
    """
    n_ends = block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
    return n_ends + (not block.endswith((b"\n", b"\r")))


def is_blank(fields: list[str]) -> bool:
    """Whether a record is a line without anything in it."""
    return len(fields) < 2 and not "".join(fields).strip()


def field_starts(text: str, delimiter: str) -> tuple[list[int], bool]:
    r"""Where each field of a record begins, and whether its last quote closes.

    >>> field_starts('a, "b,c",d\n', ",")
    ([0, 3, 9], True)
    >>> field_starts('a,"b\n', ",")
    ([0, 2], False)
    """
    starts = []
    offset = 0
    while True:
        while delimiter != " " and text[offset : offset + 1] == " ":
            offset += 1
        starts.append(offset)
        end = _end_of_quotes(text, offset)
        if end is None:
            return starts, False
        following = text.find(delimiter, end)
        if following < 0:
            return starts, True
        offset = following + 1


def line_and_column(text: str, offset: int, first_line: int) -> tuple[int, int]:
    r"""The line and the column, from 1, of a place in a text that begins in ``first_line``.

    >>> line_and_column("ab\r\ncd", 5, first_line=7)
    (8, 2)
    """
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return first_line + before.count("\n"), len(before) - before.rfind("\n")


def _overrun(text: str, starts: list[int], delimiter: str) -> tuple[int, int]:
    """Where a quoted field begins that something else follows, and where that begins."""
    for start in starts:
        end = _end_of_quotes(text, start) or start
        if end > start and text[end : end + 1] not in (delimiter, "\r", "\n", ""):
            return start, end
    return starts[0], starts[0]


def _end_of_quotes(text: str, start: int) -> int | None:
    """The first character after a quoted field, ``start`` for another, None if it never ends."""
    if text[start : start + 1] != '"':
        return start
    offset = start + 1
    while (quote := text.find('"', offset)) >= 0:
        if text[quote + 1 : quote + 2] != '"':
            return quote + 1
        offset = quote + 2
    return None
