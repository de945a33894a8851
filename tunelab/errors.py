"""Every exception that a user may meet, and the exit code it ends a command with.

::

    TunelabError                1   a run-time failure
    ├── UsageError              2   a wrong argument or option
    ├── StudyFileError          2   a study file with one or more problems
    ├── DataError               2   data that cannot be used as asked
    │   └── DataFileError       2   a file of data with one or more problems
    ├── StudyConflictError      2   a study of that name exists and differs
    ├── NotFoundError           3   no such study, trial or file
    │   └── MissingDataFileError 3  no such file of data
    ├── DatabaseError           4   the study database cannot be reached or written
    ├── TrackingError           4   MLflow cannot be reached or written
    ├── ExecutorError           4   what runs the workers cannot be reached
    ├── DiskError               4   a file beside them cannot be written
    └── NoCompletedTrialError   5   a study ended without one completed trial

A message says what must hold, what was given and where; a hint says what to do next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class TunelabError(Exception):
    """An error that ends a command with one clear line and no traceback.

    Args:
        message: What must hold and what was given.
        hint: What to do next, if there is something to say.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TunelabError):
    """A command was called with an argument that cannot be right."""

    exit_code = 2


class DataError(TunelabError):
    """The data cannot be read, or not be used as the study file asks."""

    exit_code = 2


class StudyConflictError(TunelabError):
    """A study of this name exists, and what was asked would change its meaning."""

    exit_code = 2


class NotFoundError(TunelabError):
    """A study, a trial or a file does not exist."""

    exit_code = 3


class DatabaseError(TunelabError):
    """The study database cannot be opened, read or written."""

    exit_code = 4


class TrackingError(TunelabError):
    """MLflow's tracking store cannot be reached or written."""

    exit_code = 4


class ExecutorError(TunelabError):
    """The cluster that is to run the workers cannot be reached."""

    exit_code = 4


class DiskError(TunelabError):
    """A file cannot be written: the disk is full, or the place may not be written."""

    exit_code = 4


class NoCompletedTrialError(TunelabError):
    """A study ended, and not one of its trials completed."""

    exit_code = 5


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a study file or a file of data.

    Attributes:
        file: The file as the user named it; empty where no file is to blame.
        line: Line of the place, from 1; None where the whole file is meant, or has no lines.
        column: Column of the place, from 1.
        key: Dotted path of the key, ``space.optimizer.adam``; empty for the whole file.
        message: What must hold and what was given.
        hint: What to do, or None.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str
    hint: str | None = None

    @property
    def where(self) -> str:
        """``FILE:LINE:COLUMN: key``, as far as they are known.

        >>> Problem("a.yaml", 3, 7, "search.trials", "must be at least 1, got 0").where
        'a.yaml:3:7: search.trials'
        """
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.key) if part)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class DataFileError(DataError):
    """A file of data cannot be used.

    Attributes:
        problems: What is wrong, in file order.
        n_more: Problems that were counted beside them.
    """

    def __init__(self, problems: Sequence[Problem], n_more: int = 0) -> None:
        hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
        lines = [str(problem) for problem in problems]
        if n_more:
            lines.append(f"{n_more:,} more {'is' if n_more == 1 else 'are'} not shown")
        super().__init__("\n".join(lines), hint="\n".join(hints) or None)
        self.problems = tuple(problems)
        self.n_more = n_more


class MissingDataFileError(NotFoundError):
    """There is no file of data where the study file says.

    Attributes:
        problems: That alone, with its place in the study file once that is known.
        neighbour: The name of a file in the same folder that may have been meant, or None.
    """

    def __init__(self, problem: Problem, neighbour: str | None = None) -> None:
        super().__init__(str(problem), hint=problem.hint)
        self.problems = (problem,)
        self.neighbour = neighbour


class StudyFileError(TunelabError):
    """A study file cannot be used; ``problems`` lists everything that is wrong, in file order."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that ``name`` was probably meant to be, or None.

    >>> nearest("optimzer", ["optimizer", "schedule"])
    'optimizer'
    """
    matches = get_close_matches(name, known, n=1, cutoff=0.6)
    return matches[0] if matches else None
