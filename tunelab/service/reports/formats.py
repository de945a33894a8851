"""Numbers and times as the page shows them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any
from unicodedata import category

from markupsafe import escape

NOTHING = "–"

_QUANTILE = 1.959964  # of the normal distribution, at 97.5 %

_UNSAFE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Text from anywhere, without characters that steer terminals or turn the way of writing.

    >>> print(visible("a\x1b[2Jb\u202ec"))
    a\x1b[2Jb\u202ec
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if category(character) in _UNSAFE and character not in "\n\t"
        else character
        for character in text
    )


def escaped(text: str) -> str:
    """The same as part of HTML or SVG, between tags or in a quoted attribute.

    >>> escaped('<b a="1">')
    '&lt;b a=&#34;1&#34;&gt;'
    """
    return str(escape(visible(text)))


def score(value: float | None) -> str:
    """At most four significant digits.

    >>> score(0.081623), score(None)
    ('0.08162', '–')
    """
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.4g}"


def aligned(value: float | None) -> str:
    """Always four significant digits, so that the numbers of a column are equally long.

    >>> aligned(1.12), aligned(1234.5), aligned(None)
    ('1.120', '1234', '–')
    """
    return NOTHING if value is None else f"{value:#.4g}".rstrip(".")


def setting(value: Any, digits: int = 4, *, optional: bool = False) -> str:
    """The value of a hyperparameter; 0 of one that is ``optional`` means that it is off.

    >>> setting(0.00095101), setting(128), setting("adam"), setting(0.0, optional=True)
    ('0.000951', '128', 'adam', 'off')
    """
    if optional and value == 0:
        return "off"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def mean(value: float | None, half: float | None) -> str:
    """A mean with its interval, both to the place of the latter's second digit.

    >>> mean(1.18618, 0.1312), mean(0.5, None), mean(None, None)
    ('1.19 ± 0.13', '0.5', '–')
    """
    if value is None or half is None or half <= 0 or not math.isfinite(half):
        return score(value)
    return f"{beside(value, half)} ± {beside(half, half)}"


def beside(value: float, half: float | None) -> str:
    """A number that stands beside an interval, to the place of the latter's second digit.

    >>> beside(0.0953, 0.1186), beside(0.1186, 0.1186), beside(0.0953, None)
    ('0.10', '0.12', '0.0953')
    >>> beside(12345.0, 1234.0), beside(2.34567e-4, 1.2e-8)
    ('12300', '0.000234567')
    """
    if half is None or half <= 0 or not math.isfinite(half):
        return score(value)
    places = 1 - math.floor(math.log10(half))
    if places < 0:
        return f"{round(value, places):.0f}"
    if places > 6 and value != 0:
        digits = math.floor(math.log10(abs(value))) + 1 + places
        return f"{value:.{max(digits, 1)}g}"
    return f"{value:.{places}f}"


def signed(value: float | None) -> str:
    """A difference, with its sign.

    >>> signed(0.3403), signed(None)
    ('+0.34', '–')
    """
    return NOTHING if value is None else f"{value:+.3g}"


def exponent(value: float) -> str:
    """Two digits and a short exponent.

    >>> exponent(0.0031), exponent(1.0)
    ('3.1e-3', '1e0')
    """
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def percent(value: float) -> str:
    """A share in percent.

    >>> percent(0.94708)
    '94.7 %'
    """
    return f"{100 * value:.1f} %"


def share_interval(share: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in ``n`` independent cases (Wilson 1927).

    >>> low, high = share_interval(0.95, 360)
    >>> f"{low:.4f} {high:.4f}"
    '0.9224 0.9681'
    """
    square = _QUANTILE**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = _QUANTILE * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def instant(timestamp: float | None) -> str:
    """A moment in UTC.

    >>> instant(0.0)
    '1970-01-01 00:00 UTC'
    """
    if timestamp is None:
        return NOTHING
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """A time span in its two greatest units.

    >>> duration(39.2), duration(1872), duration(3900)
    ('39 s', '31 min 12 s', '1 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
