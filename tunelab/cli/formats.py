"""Numbers, times and texts in the form in which people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from unicodedata import category

NOTHING = "-"

# Control and format characters (terminal escapes, changes of writing direction), halves of
# surrogate pairs, and the separators that terminals break lines at.
_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def number(value: float | None) -> str:
    """At most four significant digits; a dash where there is no number.

    >>> number(0.081623), number(120.0), number(2e-7), number(None)
    ('0.08162', '120', '2e-07', '-')
    """
    return NOTHING if value is None else f"{value:.4g}"


def aligned(value: float | None) -> str:
    """Always four significant digits, so that the numbers of a column are equally long.

    >>> aligned(0.11), aligned(1.5), aligned(1234.5), aligned(None)
    ('0.1100', '1.500', '1234', '-')
    """
    return NOTHING if value is None else f"{value:#.4g}".rstrip(".")


def signed(value: float | None) -> str:
    """A difference, with its sign.

    >>> signed(0.02413), signed(-1.5), signed(0.0), signed(None)
    ('+0.0241', '-1.50', '+0.00', '-')
    """
    return NOTHING if value is None else f"{value:+#.3g}".rstrip(".")


def exponent(value: float) -> str:
    """Two digits and a short exponent, for rates that are compared by their order of magnitude.

    >>> exponent(0.0031), exponent(1.0), exponent(0.99)
    ('3.1e-3', '1e0', '9.9e-1')
    """
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def percent(share: float) -> str:
    """A share as a whole percentage.

    >>> percent(0.456), percent(0.0)
    ('46%', '0%')
    """
    return f"{100 * share:.0f}%"


def duration(seconds: float | None) -> str:
    """A time span in its two greatest units.

    >>> duration(0.42), duration(12.3), duration(1872), duration(3900), duration(200_000)
    ('0.4s', '12s', '31m 12s', '1h 05m', '2d 07h')
    >>> duration(9.96), duration(59.7)
    ('10s', '1m 00s')
    """
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}s"
    whole = round(seconds)
    for size, unit, smaller, rest in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // smaller:02d}{rest}"
    return f"{whole // 60}m {whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def rough_duration(seconds: float | None) -> str:
    """A time span in its greatest unit, for estimates.

    >>> rough_duration(42), rough_duration(1140), rough_duration(9000), rough_duration(None)
    ('42s', '19m', '2.5h', '-')
    """
    if seconds is None:
        return NOTHING
    if seconds < 90:
        return f"{max(seconds, 0.0):.0f}s"
    return f"{seconds / 60:.0f}m" if seconds < 5400 else f"{seconds / 3600:.1f}h"


def instant(timestamp: float | None) -> str:
    """A moment in UTC, ISO 8601.

    >>> instant(0.0), instant(None)
    ('1970-01-01T00:00:00Z', '-')
    """
    if timestamp is None:
        return NOTHING
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(seconds: float) -> str:
    """How long ago something was.

    >>> ago(3), ago(200), ago(86400 * 3)
    ('3s ago', '3m ago', '3d ago')
    """
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit} ago"
    return f"{max(seconds, 0.0):.0f}s ago"


def count(n: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "trial"), count(60, "trial")
    ('1 trial', '60 trials')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def clean(text: str) -> str:
    r"""Text from anywhere, on one line and without power over the terminal.

    >>> print(clean("a\x1b[2Jb\nc\u202ed"))
    a\x1b[2Jb\nc\u202ed
    """
    return "".join(_visible(character) for character in text)


def clean_lines(text: str) -> str:
    """The same for text of several lines, which stay lines."""
    return "\n".join(clean(line.expandtabs()) for line in text.splitlines())


def quoted(text: str) -> str:
    r"""One value of ``key=value``: in quotes where it is not a plain word.

    >>> quoted("plateau"), quoted('a "b"')
    ('plateau', '"a \\"b\\""')
    """
    safe = clean(text)
    if re.fullmatch(r"[^\s\"=]+", safe):
        return safe
    return '"' + safe.replace('"', '\\"') + '"'


def _visible(character: str) -> str:
    if category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")
