"""A study's own mirror: wait for the lease, send what is new twice a second, outlast absences."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tunelab.errors import NotFoundError
from tunelab.execution.log import say
from tunelab.service.mirror.environment import without_credentials
from tunelab.service.mirror.lease import HeldLease, LostMirrorLeaseError, held_lease
from tunelab.service.mirror.orders import TRY_SECONDS, Orders
from tunelab.storage.engine import Database
from tunelab.storage.outages import OutageError

if TYPE_CHECKING:  # MLflow is loaded when the lease is held
    from tunelab.service.mirror.passes import Passes


def mirror(database: Database, study_id: int, tracking_uri: str, orders: Orders) -> None:
    """Mirror a study until ``orders`` say to leave, or the study is deleted.

    Args:
        database: The study database.
        study_id: Key of the study.
        tracking_uri: Where MLflow is, with absolute paths.
        orders: When to leave.

    Raises:
        DatabaseError: If the study database cannot be read or written.
    """
    outage = database.patience.begin()
    while True:
        try:
            with held_lease(database, study_id, lambda: orders.leaving, orders.pause) as lease:
                outage.end()
                if lease is not None:
                    _mirror(database, study_id, tracking_uri, orders, lease)
            return
        except LostMirrorLeaseError:
            continue
        except NotFoundError:
            return
        except OutageError as error:
            outage.wait(error)  # and begin anew: whatever was not noted as sent is sent again


def _mirror(
    database: Database, study_id: int, tracking_uri: str, orders: Orders, lease: HeldLease
) -> None:
    """Pass after pass, until it is time to leave."""
    from tunelab.service.mirror.passes import (
        Client,
        OutOfTimeError,
        Passes,
        keep_garbage_collection_short,
    )

    keep_garbage_collection_short()
    passes = Passes(database, study_id, Client(tracking_uri, orders), orders, lease)
    orders.at_the_latest(lambda: _abandon(passes, lease, tracking_uri))
    while True:
        leaving = orders.leaving  # read before the pass: what is stored by then is sent
        try:
            news = passes.run(last=leaving)
        except OutOfTimeError:
            break
        if not leaving:
            orders.pause(passes.pause_seconds)
        elif passes.n_failures:
            if orders.seconds_over > TRY_SECONDS:
                break
            time.sleep(0.2)
        elif not news:
            return
    _report_rest(passes)


def _report_rest(passes: Passes) -> None:
    say(f"{passes.rest()} not up to date in MLflow; the next start of the study sends the rest")


def _abandon(passes: Passes, lease: HeldLease, tracking_uri: str) -> None:
    # A call that hangs cannot be ended, and need not be: what was not remembered is sent anew.
    try:
        if not passes.has_failed:  # the call would be the first to fail
            place = without_credentials(tracking_uri)
            say(f"warning: MLflow at {place} has not answered in the time that was left")
        _report_rest(passes)
        lease.release()
    finally:
        os._exit(0)
