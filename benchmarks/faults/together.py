"""Processes that want the same thing at the same moment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.faults.accounts import row
from benchmarks.faults.place import Place
from tests.storage.conftest import run_together

START = """
from tunelab.storage.schema import open_database

def work(url):
    database = open_database(url)
    with database.read() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM studies")
    database.close()
    return 1
"""


def starts(place: Place, times: int) -> str:
    """16 processes open one empty database at the same moment."""
    began = 0
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            began += sum(run_together(START, 16, place.url(Path(folder))))
    return row(f"{began} of {16 * times} started", failed=16 * times - began)


CLAIM = """
from tunelab.storage.claims import claim_next
from tunelab.storage.owners import Owner
from tunelab.storage.outages import Patience
from tunelab.storage.schema import open_database

def work(url, study):
    database = open_database(url)
    database.patience = Patience(30)
    taken = []
    while True:
        claim = database.attempt(lambda c: claim_next(c, int(study), Owner.this_process()))
        if claim is None:
            database.close()
            return taken
        taken.append(claim.number)
"""


def claims(place: Place, times: int) -> str:
    """6 processes claim 60 waiting trials."""
    from tunelab.storage.rungs import RungLimits
    from tunelab.storage.schema import open_database
    from tunelab.storage.studies import create_study
    from tunelab.storage.trials import NewTrial, insert_trials

    double = missing = 0
    values: dict[str, Any] = dict.fromkeys(("spec_hash", "data_digest", "data_path"), "")
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            url = place.url(Path(folder))
            database = open_database(url)
            with database.write() as connection:
                study = create_study(
                    connection,
                    name="claims",
                    spec={},
                    baseline_loss=1.0,
                    n_trials=60,
                    timeout_seconds=None,
                    **values,
                )
                new = [NewTrial(number, {}, {}, 0, RungLimits()) for number in range(60)]
                insert_trials(connection, study.id, new)
            database.close()
            taken = [number for own in run_together(CLAIM, 6, url, str(study.id)) for number in own]
            double += len(taken) - len(set(taken))
            missing += 60 - len(set(taken))
    return row(f"6 claimers, 60 trials, {times} times", double=double, missing=missing)
