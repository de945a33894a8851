"""One table that turns exceptions into messages and exit codes."""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from tunelab.cli.formats import clean, clean_lines, count
from tunelab.errors import (
    DataFileError,
    MissingDataFileError,
    StudyFileError,
    TunelabError,
    nearest,
)

INTERRUPTED = 130
_SYSTEM_HINTS = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
    errno.EROFS: "run from a folder that may be written",
    errno.EACCES: "allow reading and writing it, or run from another folder",
    errno.EPERM: "allow reading and writing it, or run from another folder",
    errno.ENAMETOOLONG: "choose a shorter path",
}
_LONGEST_UNEXPECTED = 500

# Typer brings a click of its own since 0.2x and does not export this class.
UsageMistake: Any = typer.BadParameter.__base__

# Invalid value for '--trials' (env var: 'TUNELAB_TRIALS'): must be from 1 to 1000000, got 0
_BAD_VALUE = re.compile(r"Invalid value for '?([^' ]*)'?(?: \(env var: '(\w+)'\))?: (.*)", re.S)


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong: what must hold and what was given, where, and what to do."""

    message: str
    where: str | None = None
    hint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object under ``error``."""
        return {"message": self.message, "where": self.where, "hint": self.hint}

    def lines(self) -> list[str]:
        """The text for people."""
        place = f"{clean(self.where)}: " if self.where else ""
        lines = [f"error: {place}{clean_lines(self.message)}"]
        return [*lines, f"  hint: {clean_lines(self.hint)}"] if self.hint else lines


@dataclass(frozen=True)
class Report:
    """What a command ends with.

    Attributes:
        exit_code: The command's.
        troubles: What is told one by one.
        closing: The last line.
        n_errors: How many errors the closing line sums up, those that are not told included.
    """

    exit_code: int
    troubles: tuple[Trouble, ...]
    closing: str | None = None
    n_errors: int = 1


def _file(error: StudyFileError | DataFileError | MissingDataFileError) -> Report:
    troubles = tuple(Trouble(item.message, item.where, item.hint) for item in error.problems)
    n_more = error.n_more if isinstance(error, DataFileError) else 0
    closing = f"{count(len(troubles) + n_more, 'error')}, nothing started"
    if n_more:
        closing += f"; {n_more} {'is' if n_more == 1 else 'are'} not shown"
    return Report(error.exit_code, troubles, closing, len(troubles) + n_more)


def _expected(error: TunelabError) -> Report:
    return Report(error.exit_code, (Trouble(error.message, hint=error.hint),))


def _usage(error: Any, typed: str) -> Report:
    """A wrong command line: an unknown command or option, a missing argument, a bad value.

    Args:
        error: What the parser says.
        typed: The command as far as it was typed right, for where the parser does not say.
    """
    message = str(error.format_message()).rstrip(".")
    bad_value = _BAD_VALUE.match(message)
    if bad_value:
        option, variable, cause = bad_value.groups()
        cause = "must be yes or no" if "valid boolean" in cause else cause
        message = f"{variable if _from_environment(error) else option}: {cause}"
    else:
        message = message[:1].lower() + message[1:]
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else typed
    hint = f"`{command} --help` shows what it takes"
    option = getattr(error, "option_name", None)
    if hasattr(error, "possibilities"):
        message = f"no such option {option}"
        if error.possibilities:
            hint = f"did you mean {error.possibilities[0]}? {hint}"
    elif message.startswith("no such command") and context is not None:
        name = message.partition("'")[2].partition("'")[0]
        message = f"no such command {name!r}"
        match = nearest(name, list(context.command.commands))
        hint = f"did you mean {match!r}? {hint}" if match else hint
    return Report(2, (Trouble(message, hint=hint),))


def _from_environment(error: Any) -> bool:
    source = error.ctx and error.param and error.ctx.get_parameter_source(error.param.name)
    return source is not None and source.name == "ENVIRONMENT"


def _system(error: OSError) -> Report:
    """What the operating system refuses: a full disk, a folder that is gone or locked."""
    cause = error.strerror or str(error)
    place = f"{error.filename}: " if error.filename else ""
    hint = _SYSTEM_HINTS.get(error.errno or 0)
    if error.errno == errno.ENOENT and not error.filename:
        cause, hint = "the working directory is gone", "change to a folder that exists"
    trouble = Trouble(f"{place}{cause[:1].lower()}{cause[1:]}", hint=hint)
    return Report(4 if hint else 1, (trouble,))


def _interrupted(_error: BaseException) -> Report:
    return Report(INTERRUPTED, ())


def _unexpected(error: Exception) -> Report:
    what = f"{type(error).__name__}: {error}"[:_LONGEST_UNEXPECTED].rstrip(": ")
    message = f"unexpected {clean(what)}: please report; run again with --debug"
    return Report(1, (Trouble(message),))


# The first that fits counts.
TABLE: tuple[tuple[type[BaseException], Callable[[Any], Report]], ...] = (
    (StudyFileError, _file),
    (DataFileError, _file),
    (MissingDataFileError, _file),
    (TunelabError, _expected),
    (KeyboardInterrupt, _interrupted),
    (typer.Abort, _interrupted),  # Ctrl-C or Ctrl-D at a question
    (OSError, _system),
    (Exception, _unexpected),
)


def report_of(error: BaseException, typed: str = "tunelab") -> Report:
    """What to tell about an exception of the command ``typed``."""
    if isinstance(error, UsageMistake):
        return _usage(error, typed)
    return next(describe(error) for kind, describe in TABLE if isinstance(error, kind))


def show(report: Report, *, as_json: bool) -> None:
    """Write a report: for people to standard error and, if asked, as JSON to standard output."""
    for trouble in report.troubles:
        for line in trouble.lines():
            print(line, file=sys.stderr)
    if report.closing:
        print(report.closing, file=sys.stderr)
    if as_json and report.troubles:
        document: dict[str, Any] = {"schema": 1, "error": report.troubles[0].to_json()}
        if report.closing:
            document["errors"] = [trouble.to_json() for trouble in report.troubles]
            document["n_errors"] = report.n_errors
        print(json.dumps(document), flush=True)  # one line: events may stand above it
