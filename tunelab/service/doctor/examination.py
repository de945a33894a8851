"""The whole examination, in order: first what later parts depend on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from tunelab.errors import TunelabError
from tunelab.service.doctor import database as study_database
from tunelab.service.doctor import machine, mlflow
from tunelab.service.doctor.findings import Finding, State, wrong
from tunelab.service.mirror.environment import sqlite_path
from tunelab.storage.engine import Database


def examine(database_url: str, tracking_uri: str, *, fix: bool) -> Iterator[Finding]:
    """Look at everything that studies depend on.

    Args:
        database_url: Of the study database, which is neither created nor brought up to date.
        tracking_uri: Where MLflow is, with absolute paths.
        fix: Whether to repair what can be repaired as it is found.

    Yields:
        One finding after the other, those that were repaired with the state ``fixed``.
    """
    for finding in _examine(database_url, tracking_uri):
        yield _fixed(finding) if fix and finding.is_wrong and finding.fix else finding


def _fixed(finding: Finding) -> Finding:
    try:
        done = finding.fix() if finding.fix else ""
    except TunelabError as error:
        return wrong(finding.area, f"{finding.message}; not repaired: {error.message}", error.hint)
    except OSError as error:
        return wrong(finding.area, f"{finding.message}; not repaired: {error}", finding.hint)
    return replace(finding, state=State.FIXED, message=f"{finding.message}: {done}", hint=None)


def _examine(database_url: str, tracking_uri: str) -> Iterator[Finding]:
    yield from machine.versions(with_postgresql=database_url.startswith("postgres"))
    yield machine.threads(os.environ)
    try:
        database = Database(database_url)
    except TunelabError as error:
        yield wrong("database", error.message, error.hint)
        return
    with closing(database):
        yield machine.leftovers(database.home, sqlite_path(tracking_uri))
        found, usable = study_database.place(database)
        yield from found
        if usable:
            try:
                yield from study_database.abandoned(database)
            except TunelabError as error:
                yield wrong("database", error.message, error.hint)
                usable = False
        answer, answers = mlflow.reachable(tracking_uri)
        yield answer
        if usable and answers:
            yield from mlflow.agreement(database, tracking_uri)
