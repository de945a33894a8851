"""The program: runs the command line once, and ends with the exit code that belongs to it."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tunelab.cli import encoding
from tunelab.cli.errors import Report, report_of, show

_JSON_FILE = "tunelab study export"  # whose --json names a file


def main(tree: Any, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Args:
        tree: The commands.
        arguments: What follows ``tunelab``; None for those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # A stream that was closed before the start is None: then nobody reads what goes there.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    encoding.register()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=encoding.ERRORS)
    try:
        code = _run(tree, given)
    except BrokenPipeError:
        _leave_broken_pipe()
    sys.exit(code)


def _run(tree: Any, arguments: list[str]) -> int:
    # --debug counts wherever it stands: people add it to the end of the line that failed.
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        # Not standalone: exceptions come here instead of being printed by typer.
        code = tree.main(arguments, prog_name="tunelab", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # which typer turns into exit code 1
            raise left.__context__ from None
        raise
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        typed = _typed(tree, arguments)
        report = report_of(error, typed)
        as_json = "--json" in arguments and typed != _JSON_FILE
        _tell(report, error if debug else None, as_json=as_json)
        return report.exit_code
    return code if isinstance(code, int) else 0


def _typed(tree: Any, arguments: Sequence[str]) -> str:
    """The command as far as it was typed right: ``tunelab study start``."""
    path = ["tunelab"]
    for word in arguments:
        tree = getattr(tree, "commands", {}).get(word)
        if tree is None:
            break
        path.append(word)
    return " ".join(path)


def _tell(report: Report, traced: BaseException | None, *, as_json: bool) -> None:
    """Show what went wrong, unless that is what goes wrong: a stream to a full disk, say."""
    try:
        if traced is not None:
            traceback.print_exception(traced)
        show(report, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        _discard_output()


def _discard_output() -> None:
    """What is left in Python's buffers when it ends must not meet the broken streams again."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.isatty():
            os.dup2(null, stream.fileno())


def _leave_broken_pipe() -> NoReturn:
    """The reader of our output has gone (``| head -1``): end as other programs do, in silence."""
    _discard_output()
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    sys.exit(1)
