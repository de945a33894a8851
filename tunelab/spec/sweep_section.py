"""The section ``sweep``: when a study starts by itself, as a new generation each time."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from tunelab.spec.cron import Cron, check_expression, check_timezone
from tunelab.spec.durations import seconds
from tunelab.spec.part import Part
from tunelab.spec.rules import Name, Number, RefusedError, Switch, shown

CATCHUPS = ("none", "latest", "all")
OVERLAPS = ("skip", "queue", "allow")

_DAY = 24 * 3600.0
_LONGEST_URL = 2000


def _flag(given: object) -> bool:
    return Switch().check(given) == "on"


def _url(given: object) -> str | None:
    """An address to post to; nothing of a wrong one is shown, which may hold a password."""
    if given is None:
        return None
    example = "for example https://example.org/hook"
    if not isinstance(given, str):
        raise RefusedError(f"must be an http or https URL, got {shown(given)}", example)
    if len(given) > _LONGEST_URL:
        raise RefusedError(f"must have at most {_LONGEST_URL} characters, got {len(given)}")
    if not given.isascii() or not given.isprintable() or " " in given:
        raise RefusedError("must be an http or https URL of printable ASCII characters", example)
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise RefusedError("must be an http or https URL with a host", example)
    if "@" in parts.netloc:
        raise RefusedError(
            "must hold neither user nor password: it is stored and shown with the study",
            "let the receiver tell callers apart by the path",
        )
    return given


class SweepSpec(Part):
    """When a study starts by itself.

    A slot is one of the instants that `cron` means. It is on time for a minute; after that it is
    missed, and `catchup` decides.

    Attributes:
        expression: When: minute, hour, day of the month, month, day of the week.
        timezone: The zone in which that is read.
        catchup: What becomes of slots that were missed because nothing ran: ``none`` is started
            any more, the ``latest`` is, or ``all`` are.
        overlap: What becomes of a slot while an earlier generation still runs: it is left out
            (``skip``), waits for its turn (``queue``), or starts beside it (``allow``).
        grace_seconds: How late a slot may be started, whether it was missed or had to wait; one
            that is later is left out.
        enabled: Whether the sweep starts anything.
        start_from_best: How many of the best configurations of earlier generations are tried
            first, behind that of the champion; 0: not that either.
        notify: URL that hears of sweeps that failed, were left out or late; None for none.
    """

    expression: Annotated[str, BeforeValidator(check_expression)] = Field(alias="cron")
    timezone: Annotated[str, BeforeValidator(check_timezone)] = "UTC"
    catchup: Annotated[str, BeforeValidator(Name("catch-up rule", CATCHUPS).check)] = "latest"
    overlap: Annotated[str, BeforeValidator(Name("overlap rule", OVERLAPS).check)] = "skip"
    grace_seconds: Annotated[float, BeforeValidator(seconds)] = Field(default=_DAY, alias="grace")
    enabled: Annotated[bool, BeforeValidator(_flag)] = True
    start_from_best: Annotated[int, BeforeValidator(Number("int", 0, 100).check)] = 3
    notify: Annotated[str | None, BeforeValidator(_url)] = None

    @property
    def cron(self) -> Cron:
        """The instants at which it starts."""
        return Cron(self.expression, self.timezone)
