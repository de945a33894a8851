"""Run as ``python -m tunelab.service.mirror.sync compare|repair|remove [--study ID]...``.

Compares MLflow with the study database, repairs it, or removes all that it shows, study by study.
Each study is a line of JSON on standard output, and so is the error that ends the work. The
databases come from the environment, as for the mirror; the end of the standard input means to
leave.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TextIO

from tunelab.errors import NotFoundError, TrackingError, TunelabError
from tunelab.execution.orders import obey
from tunelab.service.mirror.environment import prepare, tracking_uri
from tunelab.service.mirror.failures import comes_from_mlflow, explain
from tunelab.service.mirror.lease import LostMirrorLeaseError, held_lease
from tunelab.storage.engine import Database
from tunelab.storage.leases import lease_holder, mirror_lease
from tunelab.storage.location import database_url
from tunelab.storage.schema import open_database
from tunelab.storage.studies import all_studies, study_by_id

_HARD_SECONDS = 10.0  # after the order to leave: a request that hangs is no reason to stay
WAIT_SECONDS = 10.0  # for a mirror that holds a study's lease: one that sends its rest leaves soon


class Action(StrEnum):
    """What is done to each study's runs."""

    COMPARE = "compare"
    REPAIR = "repair"
    REMOVE = "remove"


class _LeaveError(Exception):
    """The process that wants to know is gone."""


def main() -> None:
    """Run one comparison, repair or removal."""
    parser = argparse.ArgumentParser(prog="python -m tunelab.service.mirror.sync")
    parser.add_argument("action", choices=list(Action))
    parser.add_argument("--study", type=int, action="append", help="key of a study")
    arguments = parser.parse_args()
    if arguments.action == Action.REMOVE and not arguments.study:
        parser.error("whose runs are to be removed must be named")
    leave = threading.Event()
    obey(leave.set, hard_seconds=_HARD_SECONDS)
    _keep_output_for_reports()
    prepare(os.environ)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    try:
        database = open_database(database_url(), create=False)
        synchronize(database, arguments.study, Action(arguments.action), leave.is_set)
    except _LeaveError:
        sys.exit(1)
    except TunelabError as error:
        _report(error=error.message, kind=type(error).__name__, hint=error.hint)
        sys.exit(error.exit_code)


def synchronize(
    database: Database,
    study_ids: list[int] | None,
    action: Action,
    should_leave: Callable[[], bool],
) -> None:
    """Go through the studies and print a line for each.

    Raises:
        TrackingError: If MLflow cannot be reached.
        TunelabError: If the comparison itself fails.
        DatabaseError: If the study database cannot be read or written.
    """
    uri = tracking_uri()
    with database.read() as connection:
        keys = study_ids or [study.id for study in reversed(all_studies(connection))]
    try:
        from tunelab.service.mirror.tracking import Tracking

        tracking = Tracking(uri)
        for key in keys:
            try:
                _one(database, key, tracking, action, should_leave)
            except NotFoundError:
                continue  # it has been deleted meanwhile
        if action is Action.REPAIR and not study_ids:
            _repair_sweeps(database, tracking)
    except (TunelabError, _LeaveError):
        raise
    except Exception as error:
        # A mistake of this program's own is no absence of MLflow's.
        kind = TrackingError if comes_from_mlflow(error) else TunelabError
        raise kind(explain(error, uri)) from error


def _one(
    database: Database, key: int, tracking: Any, action: Action, should_leave: Callable[[], bool]
) -> None:
    from tunelab.service.mirror.comparison import compare
    from tunelab.service.mirror.removal import remove
    from tunelab.service.mirror.repair import repair

    with database.read() as connection:
        title = study_by_id(connection, key).title
    deadline = time.monotonic() + WAIT_SECONDS
    told_of: list[str] = []
    told = False

    def give_up() -> bool:
        nonlocal told
        if action is Action.COMPARE or should_leave() or time.monotonic() > deadline:
            return True
        if not told:
            told = True
            _report(study=title, waiting=True, holder=_holder(database, key))
        return False

    def check() -> None:
        if should_leave():
            raise _LeaveError

    with held_lease(database, key, give_up, time.sleep) as lease:
        if lease is None:
            _report(study=title, busy=True, holder=_holder(database, key))
            return

        def progressed() -> None:
            check()
            lease.check()

        try:
            if action is Action.REMOVE:
                _report(
                    study=title, removed=remove(database, key, tracking, progressed, lease.confirm)
                )
                return
            if action is Action.REPAIR:
                differences = repair(
                    database, key, tracking, progressed, lease.confirm, told_of.append
                )
            else:
                found = compare(database, key, tracking, every_point=False, progressed=progressed)
                differences = found.differences
        except LostMirrorLeaseError:
            _report(study=title, busy=True, holder=_holder(database, key))
            return
    _report(study=title, differences=vars(differences), warnings=told_of)


def _repair_sweeps(database: Database, tracking: Any) -> None:
    """Send what the experiments of sweeps lack still, such as those that have no study yet."""
    from tunelab.service.mirror.comparison import Differences
    from tunelab.service.mirror.sweep_record import SweepRecords

    for name, n_tags in SweepRecords(database, tracking).send().items():
        _report(study=f"sweep {name}", differences=vars(Differences(wrong_labels=n_tags)))


def _holder(database: Database, key: int) -> str | None:
    """Who mirrors the study: ``process 4711 on host``."""
    with database.read() as connection:
        owner = lease_holder(connection, mirror_lease(key))
    if owner is None:
        return None
    return f"process {owner.pid} on {owner.host_name}"


_reports: TextIO = sys.stdout


def _keep_output_for_reports() -> None:
    """Send to standard error what libraries print: only reports go to standard output."""
    global _reports
    _reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)


def _report(**line: Any) -> None:
    print(json.dumps(line), file=_reports, flush=True)


if __name__ == "__main__":
    main()
