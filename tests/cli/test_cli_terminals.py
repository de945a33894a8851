"""Every command where the terminal is narrow, plain, full, closed, or not there at all."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.cli.conftest import on_a_terminal
from tunelab.cli import views
from tunelab.cli.board import Board
from tunelab.cli.keyboard import Keyboard
from tunelab.cli.sparkline import BARS, sparkline
from tunelab.service.events import StudyStarted
from tunelab.service.summary import summarize

COMMANDS = {
    "list": ["study", "list"],
    "show": ["study", "show", "digits"],
    "resolved": ["study", "show", "digits", "--resolved"],
    "trials": ["study", "trials", "digits"],
    "trial": ["study", "trial", "digits", "1", "--epochs"],
    "optimizers": ["optimizers"],
    "schedule": ["schedules", "one_cycle"],
    "help": ["study", "start", "--help"],
    "error": ["study", "show", "digit"],
}
EXIT_CODES = {"error": 3}
LONG = pytest.mark.long  # a process each
ALL = pytest.mark.parametrize(
    "command",
    [
        name if name in ("show", "trials", "trial", "error") else pytest.param(name, marks=LONG)
        for name in COMMANDS
    ],
)

# What stays in one piece on any terminal: commands, code and files to be copied, errors, and a name
# beside one value.
UNBROKEN = re.compile(
    r"tunelab study|tunelab ui|[{>]|^error: |^  hint: |^\s*\S+$|^\s*\S+\s{2,}\S+( \S+){0,2}$"
)


@pytest.fixture(autouse=True)
def _study(digits):
    """Every command has something to show."""


@ALL
def test_twenty_columns_are_enough(command):
    lines = on_a_terminal(20, *COMMANDS[command], code=EXIT_CODES.get(command, 0))
    assert lines
    if command in ("help", "resolved"):
        return  # typer's help is 50 wide; a file is printed as it is
    wide = [line for line in lines if len(line) > 20]
    assert [line for line in wide if not UNBROKEN.search(line)] == []


@pytest.mark.parametrize(
    "variables",
    [{"TERM": "dumb", "NO_COLOR": ""}, {"TERM": "", "NO_COLOR": ""}, {"CI": "1", "NO_COLOR": ""}],
    ids=["dumb", "nameless", "CI"],
)
def test_a_terminal_that_knows_no_escapes_gets_none(variables):
    assert "\x1b" not in "\n".join(on_a_terminal(80, *COMMANDS["show"], **variables))


def test_a_terminal_that_knows_escapes_gets_colours():
    assert "\x1b[1m" in "\n".join(on_a_terminal(80, *COMMANDS["show"], NO_COLOR=""))


@ALL
def test_a_terminal_without_unicode_gets_plain_characters(command):
    code = EXIT_CODES.get(command, 0)
    lines = on_a_terminal(100, *COMMANDS[command], code=code, PYTHONIOENCODING="ascii")
    text = "\n".join(lines)
    assert text.isascii()
    assert "?" not in text.removesuffix("?")  # it stands for what has no plain form
    assert max(map(len, lines)) <= 100
    if command == "trials":
        assert "overfitting  * best" in text
    if command == "trial":
        assert "train   @+.=  0.78 -> 0.18" in text


def test_a_curve_in_ascii_has_more_ink_where_it_is_higher():
    from tunelab.cli.encoding import ERRORS, register

    register()
    plain = sparkline(list(range(8))).encode("ascii", ERRORS).decode()
    assert len(set(plain)) == len(BARS)
    ink = {".": 1, ":": 2, "-": 3, "=": 4, "+": 5, "*": 6, "#": 7, "@": 8}
    assert [ink[character] for character in plain] == list(range(1, 9))
    assert "größer 大".encode("ascii", ERRORS) == b"gr??er ??"  # as wide as before


def run(words, **streams):
    command = [sys.executable, "-m", "tunelab", *words]
    return subprocess.run(command, text=True, timeout=60, check=False, **streams)


@pytest.mark.parametrize(
    "command", ["show", *(pytest.param(n, marks=LONG) for n in ("list", "optimizers", "help"))]
)
def test_a_reader_that_is_gone_ends_the_program_in_silence(command):
    reader, writer = os.pipe()
    os.close(reader)
    ended = run(COMMANDS[command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert ended.returncode == -signal.SIGPIPE
    assert [line for line in ended.stderr.splitlines() if not line.startswith("searched:")] == []


@pytest.mark.parametrize(
    "command", ["show", *(pytest.param(n, marks=LONG) for n in ("list", "help"))]
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_an_error_without_a_traceback(command, more):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = run([*COMMANDS[command], *more], stdout=full, stderr=subprocess.PIPE)
    first, *rest = ended.stderr.splitlines()
    assert (ended.returncode, first) == (4, "error: no space left on device")
    assert rest == ["  hint: make room and run the same command again"]


def test_an_error_that_cannot_be_told_still_has_its_exit_code():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        ended = run([*COMMANDS["error"], "--json"], stdout=full, stderr=full)
    assert ended.returncode == 3


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["show", pytest.param("error", marks=LONG)])
def test_closed_streams_change_nothing(command, closed):
    words = " ".join([sys.executable, "-m", "tunelab", *COMMANDS[command]])
    ended = run_shell(f"{words} {closed}")
    assert ended.returncode == EXIT_CODES.get(command, 0)
    assert "Traceback" not in ended.stderr


def run_shell(line):
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)


class Recorded:
    """Stands for the keyboard, and notes what is asked of it."""

    def __init__(self, log: list[str]) -> None:
        self.silence: Callable[[], None] = lambda: log.append("silent")
        self.restore: Callable[[], None] = lambda: log.append("restored")


def test_the_live_view_shows_nothing_of_what_is_typed(maker, monkeypatch, tmp_path):
    log: list[str] = []
    monkeypatch.setattr(views, "Keyboard", lambda stream: Recorded(log))
    study = maker.study()
    with maker.database.read() as connection:
        started = StudyStarted(summarize(connection, study), 1, leads=True)
    with (tmp_path / "terminal").open("w") as out:
        console = Console(file=out, force_terminal=True)
        with views.LiveView(Board({}), console, lambda: False) as view:
            assert log == []
            view.show(started)
            assert log == ["silent"]
        assert log == ["silent", "restored"]
        view.abandon()
    assert log == ["silent", "restored", "restored"]
    assert (tmp_path / "terminal").read_bytes().count(b"\x1b[?25h") == 2


ECHO = """
import sys, termios
from tunelab.cli.keyboard import Keyboard
def echoes():
    return bool(termios.tcgetattr(2)[3] & termios.ECHO)
keyboard = Keyboard(sys.stderr)
said = [echoes()]
for act in (keyboard.silence, keyboard.silence, keyboard.restore, keyboard.restore):
    act()
    said.append(echoes())
print(said)
"""


def test_the_keyboard_is_silent_until_it_is_restored():
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", ECHO])
    text = b""
    deadline = time.monotonic() + 30
    while b"]" not in text and time.monotonic() < deadline:
        try:
            text += os.read(terminal, 1000)
        except OSError:
            break
    os.waitpid(child, 0)
    os.close(terminal)
    assert text.strip() == b"[True, False, False, True, True]"


def test_a_process_in_the_background_leaves_the_terminal_alone(monkeypatch, tmp_path):
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        # Not the terminal of this process: asking who is in its foreground fails, or says another.
        keyboard = Keyboard(stream)
        keyboard.silence()
        keyboard.restore()
    os.close(leader)
    with (tmp_path / "file").open("w") as stream:
        Keyboard(stream).silence()
    Keyboard(stream).silence()  # closed
