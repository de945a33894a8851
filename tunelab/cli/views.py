"""What a running study shows: a live picture on a terminal, else plain lines, or JSON events."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from tunelab.cli.board import Board
from tunelab.cli.console import is_terminal, make_console, put_json, tell, wants_plain
from tunelab.cli.formats import clean, count, instant, number, quoted, signed
from tunelab.cli.keyboard import Keyboard
from tunelab.cli.live import frame
from tunelab.cli.validation import header
from tunelab.service.events import (
    ConfirmProgress,
    Event,
    Notice,
    StudyFinished,
    StudyStarted,
    TrialFinished,
)
from tunelab.service.summary import effective_spec

FRAMES_PER_SECOND = 4
HEARTBEAT_SECONDS = 30.0
_SHOW_CURSOR = b"\x1b[?25h\n"

Clock = Callable[[], float]


class View(Protocol):
    """Shows the events of one study."""

    def __enter__(self) -> View:
        """Begin."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def abandon(self) -> None:
        """The same, for a process that ends at once: it may be in the middle of anything."""

    def show(self, event: Event | None) -> None:
        """Show an event; None: nothing new has happened."""


def choose_view(
    outcomes: Mapping[str, int],
    stopping: Callable[[], bool],
    *,
    as_json: bool,
    dashboard: str | None = None,
) -> View:
    """The view that suits the streams and the environment.

    Args:
        outcomes: How the trials ended that had ended before.
        stopping: Whether the user has asked to stop.
        as_json: Whether standard output gets events.
        dashboard: A link to the study in MLflow, or the command that shows it; None for none.
    """
    if as_json:
        return JsonView()
    board = Board(outcomes)
    if is_terminal(sys.stderr) and not wants_plain():
        return LiveView(board, make_console(sys.stderr), stopping, dashboard)
    return PlainView(board, tell, stopping)


class LiveView:
    """A picture that a thread draws anew four times a second, so that it never looks frozen.

    Args:
        board: The state of the study.
        console: The terminal.
        stopping: Whether the user has asked to stop.
        dashboard: See `choose_view`.
    """

    def __init__(
        self,
        board: Board,
        console: Console,
        stopping: Callable[[], bool],
        dashboard: str | None = None,
    ) -> None:
        self._board = board
        self._dashboard = dashboard
        self._console = console
        self._stopping = stopping
        self._lock = threading.Lock()  # the thread draws while events come in
        self._keyboard = Keyboard(console.file)
        # Gone at the end: the result follows, on standard output.
        self._live = Live(
            get_renderable=lambda: self,
            console=console,
            refresh_per_second=FRAMES_PER_SECOND,
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> LiveView:
        """Begin; the picture appears with the first event."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the picture."""
        self._live.stop()
        self._keyboard.restore()

    def abandon(self) -> None:
        """Show the cursor, and what is typed."""
        os.write(self._console.file.fileno(), _SHOW_CURSOR)
        self._keyboard.restore()

    def __rich_console__(self, console: Console, _options: ConsoleOptions) -> RenderResult:
        """The picture for the terminal's present size."""
        width, height = console.size
        with self._lock:
            lines = frame(self._board, width, height, stopping=self._stopping())
        yield from lines

    def show(self, event: Event | None) -> None:
        """Take an event in; the picture shows it when it is drawn next."""
        if event is None:
            return
        with self._lock:
            self._board.take(event)
        if isinstance(event, StudyStarted):
            for line in opening(event):
                self._console.print(Text(clean(line)))
            if self._dashboard is not None:
                self._console.print(Text(f"dashboard  {clean(self._dashboard)}"), soft_wrap=True)
            self._keyboard.silence()
            self._live.start()
        elif isinstance(event, Notice):
            self._console.print(Text(clean(event.text), style="yellow"))


class PlainView:
    """One line for each trial that ends, and a heartbeat where nothing has happened for long.

    Args:
        board: The state of the study.
        write: Writes a line.
        stopping: Whether the user has asked to stop.
        clock: Seconds, growing steadily.
        now: Seconds since 1970-01-01 UTC.
    """

    def __init__(
        self,
        board: Board,
        write: Callable[[str], None],
        stopping: Callable[[], bool],
        clock: Clock = time.monotonic,
        now: Clock = time.time,
    ) -> None:
        self._board = board
        self._write = write
        self._clock = clock
        self._now = now
        self._written = clock()
        self._stopping = stopping
        self._told_stopping = False

    def __enter__(self) -> PlainView:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def abandon(self) -> None:
        """Nothing to undo."""

    def show(self, event: Event | None) -> None:
        """Write the event's line, if it has one."""
        board = self._board
        if event is not None:
            board.take(event)
        if self._stopping() and not self._told_stopping:
            self._told_stopping = True
            self._line("leaving" if board.watches else "stopping: saving the running trials")
        if isinstance(event, StudyStarted):
            before = f" finished={board.n_finished}" if board.n_finished else ""
            led = "" if event.leads else " led_by=another_process"
            does = "watched" if event.watches else "started"
            self._line(
                f"study {board.title} {does} trials={board.n_total}{before} "
                f"workers={event.n_workers}{led}"
            )
        elif isinstance(event, TrialFinished):
            self._line(_trial_line(event, board.max_epochs))
        elif isinstance(event, ConfirmProgress):
            self._line(_confirm_line(event, board.max_epochs))
        elif isinstance(event, Notice):
            self._line(f"notice {event.text}")
        elif isinstance(event, StudyFinished):
            self._line(f"study {board.title} {event.summary.state} {self._progress()}")
        elif self._clock() - self._written >= HEARTBEAT_SECONDS and board.summary is not None:
            self._line(f"heartbeat {self._progress()}{self._outlook()}")

    def _progress(self) -> str:
        board = self._board
        best = board.best
        so_far = f" best={number(best.value)}@{best.number}" if best is not None else ""
        stage = " confirm={}/{}".format(*board.confirm) if board.confirm else ""
        return f"done={board.n_finished}/{board.n_total}{so_far}{stage}"

    def _outlook(self) -> str:
        board = self._board
        eta = board.eta_seconds
        left = f" eta={eta:.0f}s" if eta is not None else ""
        return f" running={len(board.running) + len(board.confirming)}{left}"

    def _line(self, text: str) -> None:
        self._write(f"{instant(self._now())} {clean(text)}")
        self._written = self._clock()


class JsonView:
    """Every event as one line of JSON on standard output."""

    def __enter__(self) -> JsonView:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def abandon(self) -> None:
        """Nothing to undo."""

    def show(self, event: Event | None) -> None:
        """Write the event."""
        if event is not None:
            put_json(event.to_json(), line=True)


def opening(event: StudyStarted) -> list[str]:
    """What stands above the live picture: what runs, how, and what was done before."""
    summary = event.summary
    head = f"{summary.study.title}  {header(effective_spec(summary.study))}"
    lines = [head if event.watches else f"{head}  {count(event.n_workers, 'worker')}"]
    if summary.n_finished:
        lines.append(f"goes on after {count(summary.n_finished, 'finished trial')}")
    if event.watches:
        lines.append("other processes run this study; this one only shows it")
    elif not event.leads:
        lines.append("another process runs this study; this one shows it and takes over if it ends")
    return lines


def _confirm_line(event: ConfirmProgress, max_epochs: int) -> str:
    head, run = f"confirm {event.n_finished}/{event.n_total}", event.run
    if run is None:
        return f"{head} started"
    reason = ""
    if run.end_reason is None or not run.end_reason.is_complete:
        reason = f" reason={quoted(run.reason)}" if run.reason else ""
    return (
        f"{head} trial {run.confirms} seed {run.repeat} {run.end_reason} "
        f"objective={number(run.value)} epoch={run.n_epochs}/{max_epochs}{reason}"
    )


def _trial_line(event: TrialFinished, max_epochs: int) -> str:
    trial = event.trial
    epoch = f"epoch={trial.n_epochs}/{max_epochs}"
    objective = f"objective={number(trial.value)}"
    head = f"trial {trial.number} {trial.end_reason}"
    if trial.end_reason is None or not trial.end_reason.is_complete:
        reason = f" reason={quoted(trial.reason)}" if trial.reason else ""
        return f"{head} {epoch} {objective}{reason}"
    gap = f" gap={signed(trial.gap)}" if trial.gap is not None else ""
    best = " best=true" if event.is_best else ""
    return f"{head} {objective} {epoch}{gap} verdict={trial.signal}{best}"
