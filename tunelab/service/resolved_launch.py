"""``study start``, from a study file and the settings that go before it to a study that can run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tunelab.datasets import open_prepared
from tunelab.errors import (
    DataError,
    DataFileError,
    MissingDataFileError,
    Problem,
    StudyConflictError,
    StudyFileError,
    TunelabError,
    UsageError,
)
from tunelab.service.launch import launch
from tunelab.service.resolved import record_sources
from tunelab.spec.overrides import Override
from tunelab.spec.study import StudySpec, differences
from tunelab.spec.study_file import StudyDocument, read_study_file
from tunelab.storage.engine import Database
from tunelab.storage.states import Executor
from tunelab.storage.studies import StudyRow, earlier_study

_KEY = re.compile(r"(data|search)(\.[a-z_]+)*")
_BUDGET = (("search", "trials"), ("search", "timeout"), ("search", "workers"))


@dataclass(frozen=True)
class Launched:
    """A study that is ready to run.

    Attributes:
        database: The open study database.
        study: The study's row.
        has_more: Whether there is anything left to run.
        n_workers: Worker processes that a setting asks for; None: as the study file says.
        document: The study file with the settings.
        notes: What is odd about its data and may be meant, a sentence each.
        repeats: The generation before it, if this one asks the same of the same data with the same
            seed, so that it begins with the same trials.
    """

    database: Database
    study: StudyRow
    has_more: bool
    n_workers: int | None
    document: StudyDocument
    notes: tuple[str, ...]
    repeats: StudyRow | None


def launch_with(
    database_url: str,
    path: Path,
    settings: Sequence[Override],
    *,
    new: bool,
    executor: Executor = Executor.LOCAL,
    share: bool = True,
) -> Launched:
    """Make the study of a study file ready to run, and record where its values were given.

    Settings of the budget (trials, timeout, workers) hold for the study, beside what its file says;
    all others change what the study is.

    Args:
        database_url: Of the study database, which is created if it is missing.
        path: The study file.
        settings: What goes before the file; the later ones go before the earlier.
        new: Start another generation even if the latest could go on.
        executor: Who runs it.
        share: Whether to put the prepared data into the data store, if there is one.

    Raises:
        TunelabError: As `tunelab.service.launch.launch` and `read_study_file` do.
    """
    lasting = [setting for setting in settings if setting.place not in _BUDGET]
    document, filed = read_study_file(path, settings), read_study_file(path, lasting)
    given, set_otherwise = document.spec.search, document.origins
    try:
        database, study, has_more = launch(
            database_url,
            filed,
            n_trials=given.trials if "search.trials" in set_otherwise else None,
            timeout_seconds=given.timeout_seconds if "search.timeout" in set_otherwise else None,
            new=new,
            executor=executor,
            share=share,
        )
    except StudyConflictError as error:
        error.hint = _with_settings(error, lasting)
        raise
    except (DataError, MissingDataFileError, UsageError) as error:
        raise _in_file(error, document) from error
    record_sources(database, study, document)
    n_workers = given.workers if "search.workers" in set_otherwise else None
    notes = open_prepared(Path(study.data_path)).notes
    repeats = _repeated(database, study) if new else None
    return Launched(database, study, has_more, n_workers, document, notes, repeats)


def _repeated(database: Database, study: StudyRow) -> StudyRow | None:
    with database.read() as connection:
        earlier = earlier_study(connection, study)
    if earlier is None or earlier.data_digest != study.data_digest:
        return None
    old, new = (StudySpec.from_mapping(one.spec) for one in (earlier, study))
    return None if differences(old, new) or study.follows_earlier else earlier


def _in_file(error: TunelabError, document: StudyDocument) -> TunelabError:
    """The error with line and column, where it is about a key of the study file."""
    if isinstance(error, DataFileError):
        located = [_located(problem, document) for problem in error.problems]
        return DataFileError(located, error.n_more)
    if isinstance(error, MissingDataFileError):
        (problem,) = error.problems
        if error.neighbour is not None:
            written = Path(document.tree.plain()["data"]["path"])
            meant = str(written.with_name(error.neighbour))
            problem = replace(problem, hint=f"did you mean {meant!r}?")
        return MissingDataFileError(_located(problem, document), error.neighbour)
    key, _, message = error.message.partition(": ")
    if not _KEY.fullmatch(key):
        return error
    problem = _located(Problem(str(document.path), None, None, key, message, error.hint), document)
    return StudyFileError([problem])


def _located(problem: Problem, document: StudyDocument) -> Problem:
    return document.located(problem) if _KEY.fullmatch(problem.key) else problem


def _with_settings(error: StudyConflictError, lasting: Sequence[Override]) -> str | None:
    """The hint, with the settings that are among the causes: a variable is easily forgotten."""
    changes = [line.strip() for line in error.message.splitlines()]
    causes = [
        setting.origin
        for setting in lasting
        if any(change.startswith((f"{setting.key}:", f"{setting.key}.")) for change in changes)
    ]
    if not causes:
        return error.hint
    return f"{error.hint}; {', '.join(dict.fromkeys(causes))} went before the study file"
