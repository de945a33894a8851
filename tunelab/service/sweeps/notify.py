"""Tells the URL that a sweep names in ``notify`` of slots that ended badly.

Each of them is told of at most once, by one POST, however many controllers run: a controller
writes into the slot's row that it will tell of it, and only then does. What ended while none could
do that is told of by the next one. If a controller dies between the row and the POST, nobody tells
of that slot: a receiver never hears of one twice. For the same reason a POST that failed is not
repeated. The row and the log have the outcome in any case.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from tunelab.service.sweeps.post import PostError, place_of, post
from tunelab.storage.engine import Database
from tunelab.storage.outages import OutageError
from tunelab.storage.owners import Owner
from tunelab.storage.sweep_outcomes import SweepOutcome, take_on_telling, untold_outcomes

SCHEMA = 1  # of the documents; keys may be added
TIMEOUT_SECONDS = 5.0
_LONGEST_REASON = 1000


class Notifier:
    """Tells of bad ends, those of slots that other controllers have left behind included.

    Args:
        database: The study database.
        owner: The process that tells.
        timeout_seconds: How long one POST may take, the search for the host's address included.
    """

    def __init__(
        self, database: Database, owner: Owner, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._database = database
        self._owner = owner
        self._timeout = timeout_seconds

    def tick(self) -> Iterator[str | None]:
        """Tell of what there is to tell of, one after the other.

        Yields:
            A sentence for a POST that failed and for a study without result, and None for
            anything else that was done; between two of them nothing is lost by leaving.

        Raises:
            DatabaseError: If the database fails; an outage alone is silently waited for.
        """
        outcomes: list[SweepOutcome] = []
        # Others say that there is an outage; the next tick looks again.
        with contextlib.suppress(OutageError), self._database.read() as connection:
            outcomes = untold_outcomes(connection)
        for outcome in outcomes:
            yield from self._tell(outcome)

    def _tell(self, outcome: SweepOutcome) -> Iterator[str | None]:
        teller = f"{self._owner} {uuid.uuid4()}"
        if not self._database.attempt(lambda c: take_on_telling(c, outcome, teller)):
            return
        named = f"sweep {outcome.name}, slot {outcome.slot}"
        problem = self._post(outcome)  # before anything is yielded: nobody may come back
        if outcome.generation is not None:  # it was started in order: the log does not have it yet
            yield f"{named}: {outcome.state}, {outcome.reason}"
        yield f"warning: {named}: {problem}" if problem else None

    def _post(self, outcome: SweepOutcome) -> str | None:
        """Tell the URL, if there is one; what went wrong, or None."""
        url = outcome.sweep.notify
        if url is None:
            return None
        try:
            post(url, message(outcome), self._timeout)
        except PostError as error:
            return f"the notification of {place_of(url)} failed: {error}"
        return None


def message(outcome: SweepOutcome) -> bytes:
    """The document that is sent: JSON, with every time in UTC.

    ``generation`` is that of the study that the slot started, or null; ``time`` is when the slot
    ended so, and ``slot`` when it was to start.
    """
    reason = outcome.reason or ""
    if len(reason) > _LONGEST_REASON:
        reason = reason[:_LONGEST_REASON] + " ..."
    return json.dumps(
        {
            "schema": SCHEMA,
            "sweep": outcome.name,
            "slot": _instant(outcome.slot_at),
            "state": str(outcome.state),
            "reason": reason,
            "study_file": outcome.study_file,
            "generation": outcome.generation,
            "time": _instant(outcome.ended_at),
        }
    ).encode()


def _instant(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
