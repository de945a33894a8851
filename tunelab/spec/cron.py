"""Cron expressions: checked, and the instants that they mean in a time zone.

An expression that names hours goes by the clock on the wall: a time that is left out when clocks
are put forward comes at the end of the gap, once, and one that comes twice when they are put back
counts at its first coming. An expression for every hour of the day goes by elapsed time: clocks
that are changed leave no hour out and repeat none. Debian's cron takes ``*/15 2 * * *`` and
``0 */2 * * *`` for the second kind, by the star that a field begins with; here the hours decide, so
that no night is left without its sweep, and what means the same is treated the same.

Instants are seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from tunelab.errors import nearest
from tunelab.spec.rules import RefusedError, shown

EXAMPLE = 'for example "0 2 * * *", every night at two'

_LONGEST = 200
_CONTINENTS = (
    *("Africa/", "America/", "Antarctica/", "Arctic/", "Asia/", "Atlantic/", "Australia/"),
    *("Europe/", "Indian/", "Pacific/"),
)
_EVERY_HOUR = set(range(24))
_FIRST_YEAR = datetime(2000, 1, 1)
_FIELDS = (
    ("minute", "from 0 to 59"),
    ("hour", "from 0 to 23"),
    ("day of the month", "from 1 to 31, or L for the last"),
    ("month", "from 1 to 12, or JAN to DEC"),
    ("day of the week", "from 0 (Sunday) to 7 (Sunday), or SUN to SAT"),
)
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True)
class Cron:
    """When a sweep starts.

    Attributes:
        expression: Five fields, as `check_expression` returns them.
        timezone: Name of the zone that they are read in, as `check_timezone` returns it.
    """

    expression: str
    timezone: str = "UTC"

    def instants(self, after: float) -> Iterator[float]:
        """Every instant strictly after a moment, in their order; there is always a next one.

        >>> from itertools import islice
        >>> list(islice(Cron("30 0 * * *").instants(after=1800.0), 2))
        [88200.0, 174600.0]
        """
        zone = ZoneInfo(self.timezone)
        # In an hour that comes twice the clock alone does not tell whether the instant is over.
        begin = datetime.fromtimestamp(math.floor(after), zone)
        for moment in CronSim(_by_hours(self.expression), begin):
            instant = moment.timestamp()
            if instant > after:
                yield instant

    def next_instant(self, after: float) -> float:
        """The first instant strictly after a moment."""
        return next(self.instants(after))


def _by_hours(expression: str) -> str:
    """The same fields written so that cronsim, which looks for stars, goes by what they mean."""
    found = CronSim(expression, _FIRST_YEAR)
    minutes, hours = (",".join(map(str, sorted(part))) for part in (found.minutes, found.hours))
    days = expression.split()[2:]
    return " ".join([minutes, "*" if found.hours == _EVERY_HOUR else hours, *days])


def check_expression(given: object) -> str:
    """A cron expression of five fields, with one space between them.

    >>> check_expression("0  2 * * mon-fri")
    '0 2 * * mon-fri'

    Raises:
        RefusedError: If it is none, or its time never comes.
    """
    if not isinstance(given, str):
        message = f"must be five fields: minute hour day month weekday; got {shown(given)}"
        raise RefusedError(message, EXAMPLE)
    fields = given.split()
    if len(given) > _LONGEST:
        raise RefusedError(f"must have at most {_LONGEST} characters, got {len(given)}")
    if len(fields) != len(_FIELDS):
        got = shown(given) if len(fields) < 2 else f"{len(fields)}, {shown(given)}"
        message = f"must be five fields: minute hour day month weekday; got {got}"
        raise RefusedError(message, _instead_of(fields))
    for place, (field, (name, valid)) in enumerate(zip(fields, _FIELDS, strict=True)):
        alone = ["*"] * len(_FIELDS)
        alone[place] = field
        try:
            CronSim(" ".join(alone), _FIRST_YEAR)
        except CronSimError:
            raise RefusedError(f"the {name} must be {valid}, got {shown(field)}") from None
    expression = " ".join(fields)
    try:
        comes = next(CronSim(expression, _FIRST_YEAR), None) is not None
    except CronSimError:
        comes = False
    if not comes:
        message = f"must be a time that comes, got {shown(expression)}, which no year has"
        raise RefusedError(message, "choose another day or month; the day L is a month's last")
    return expression


def _instead_of(fields: list[str]) -> str:
    """What to write in the place of what has not five fields."""
    if fields and fields[0].lower() in _NAMED:
        return f'write "{_NAMED[fields[0].lower()]}"'
    if fields and fields[0].lower() == "@reboot":
        return f"a sweep starts at times, not with a machine; {EXAMPLE}"
    if len(fields) == len(_FIELDS) + 1:
        return f"seconds or years cannot be given; {EXAMPLE}"
    return EXAMPLE


def check_timezone(given: object) -> str:
    """The name of a time zone.

    >>> check_timezone("Europe/Berlin")
    'Europe/Berlin'

    Raises:
        RefusedError: If the time-zone database has no such name.
    """
    if not isinstance(given, str):
        message = f"must be the name of a time zone, got {shown(given)}"
        raise RefusedError(message, "for example Europe/Berlin or UTC")
    if given in _zones():
        return given
    match = _nearest_zone(given) if len(given) <= _LONGEST else None
    hint = (
        "name a city of it, for example Europe/Berlin"
        if match is None
        else f"did you mean {match!r}?"
    )
    raise RefusedError(f"unknown time zone {shown(given)}", hint)


@cache
def _zones() -> frozenset[str]:
    # Some systems have files beside the zones of the database.
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _nearest_zone(given: str) -> str | None:
    """The zone that was probably meant: people leave out the continent, or the capitals."""
    wanted = "_".join(given.split()).casefold()
    spelled = {zone.casefold(): zone for zone in _zones()}
    cities = {
        zone.rpartition("/")[2].casefold(): zone
        for zone in sorted(_zones())
        if zone.startswith(_CONTINENTS)
    }
    found = spelled.get(wanted) or cities.get(wanted)
    # What is like an abbreviation (CEST) or an offset (UTC+2) may mean anything.
    if found or not re.fullmatch(r"[a-z_/-]{5,}", wanted):
        return found
    close, city = nearest(wanted, sorted(spelled)), nearest(wanted, sorted(cities))
    return spelled[close] if close else cities[city] if city else None
