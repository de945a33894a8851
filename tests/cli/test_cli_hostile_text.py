"""Texts that users, data and errors bring along have no power over terminal or spreadsheet."""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from dataclasses import replace
from unicodedata import category

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from tests.cli.test_cli_confirm import FOUND
from tunelab.cli.app import command
from tunelab.cli.board import Board
from tunelab.cli.live import frame
from tunelab.cli.program import main
from tunelab.cli.views import JsonView, PlainView, opening
from tunelab.errors import StudyFileError
from tunelab.service.events import (
    ConfirmProgress,
    Notice,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tunelab.service.summary import summarize
from tunelab.spec.study import StudySpec
from tunelab.storage.openings import note_opening
from tunelab.storage.rungs import RungLimits
from tunelab.storage.states import EndReason
from tunelab.storage.studies import study_by_id, update_study
from tunelab.storage.tables import test_openings as openings
from tunelab.storage.tables import trials
from tunelab.storage.trials import CONFIRM, NewTrial, insert_trials, study_trials

COMMANDS = [
    ["study", "show", "digits"],
    ["study", "show", "digits#1", "--resolved"],
    ["study", "list"],
    ["study", "trials", "digits"],
    ["study", "trials", "digits", "--kind", "all"],
    ["study", "trial", "digits", "1"],
    ["study", "trial", "digits", "4", "--epochs"],
    ["study", "compare", "digits#1", "digits#2"],
    ["study", "export", "digits", "--csv", "-"],
    ["study", "export", "digits", "--yaml", "1"],
]
JSON = [
    ["study", "show", "digits", "--json"],
    ["study", "trials", "digits", "--json"],
    ["study", "trial", "digits", "4", "--json"],
    ["study", "compare", "digits", "--json"],
    ["study", "export", "digits", "--json", "-"],
]
TREE = command()
KINDS = ("Cc", "Cf", "Cs", "Zl", "Zp")
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.lists(
        st.sampled_from(
            ["\x1b]0;owned\x07", "\x1b[2J", "\n", "\r", "\t", "\x9b2J", "\u202e", "\u2028",
             "=cmd()", "@", "+", "-", "<script>", "[bold]x[/]", '"', "'", ",", "|", "ß", "大", " "]
        ),
        max_size=6,
    ).map("".join),
)  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def hostile(maker, digits):
    """Two generations with a confirm run and an opening, and what writes a text into all of it."""
    second = maker.study(2)
    maker.train(second, [0.5], EndReason.COMPLETED)
    flat = {"optimizer": "adam", "learning_rate": 0.1, "batch_size": 8}
    run = NewTrial(0, flat, {}, 7, RungLimits(), CONFIRM, confirms=1, repeat=0)
    with maker.database.write() as connection:
        insert_trials(connection, digits.id, [run])
        (row,) = study_trials(connection, digits.id, kind=CONFIRM)
        update_study(connection, digits.id, confirmed=FOUND.to_json())
        note_opening(connection, study_id=digits.id, trial_id=row.id, test_digest="t", reason="r")
        # The texts are those of the one that its name alone means.
        update_study(connection, second.id, generation=3)
        update_study(connection, digits.id, generation=2)
        update_study(connection, second.id, generation=1)

    def write(text: str) -> None:
        data = {"source": "csv", "path": f"/{text}", "target": text, "drop": [f"={text}"]}
        spec = {**digits.spec, "data": data, "description": text}
        with contextlib.suppress(StudyFileError):  # a study file may hold less than a reason
            StudySpec.from_mapping(spec)
            with maker.database.write() as connection:
                update_study(connection, digits.id, spec=spec)
        with maker.database.write() as connection:
            update_study(connection, digits.id, end_reason=text)
            changed = update(trials).where(trials.c.study_id == digits.id)
            connection.execute(changed.values(reason=text, error=f"{text}\n{text}"))
            connection.execute(update(openings).values(reason=text))

    return maker, digits, write


def printed(words, out):
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(out),
        pytest.raises(SystemExit) as left,
    ):
        main(TREE, words)
    assert left.value.code == 0, (words, out.getvalue())
    return out.getvalue()


def powers(text, allowed="\n"):
    return {c for c in text if category(c) in KINDS and c not in allowed}


@settings(
    max_examples=2,  # each calls the program some thirty times
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts)
@example("\x1b]0;owned\x07\x1b[2J\r\n\t\u202e\x9b2J=cmd()<script>")
@example("=cmd()")
def test_nothing_that_is_printed_steers_a_terminal_or_computes(hostile, monkeypatch_env, text):
    maker, study, write = hostile
    write(text)
    for words in COMMANDS:
        in_a_pipe = printed(words, io.StringIO())
        csv_asked = "--csv" in words
        assert powers(in_a_pipe, "\r\n" if csv_asked else "\n\t") == set(), words
        if csv_asked:
            cells = [cell for row in csv.reader(io.StringIO(in_a_pipe, newline="")) for cell in row]
            numbers = [cell for cell in cells if is_number(cell)]
            others = set(cells) - set(numbers)
            assert not [cell for cell in others if cell.lstrip()[:1] in tuple("=+-@")]
        if "export" not in words:
            assert powers(printed(words, Terminal())) == set(), words
    for words in JSON:
        assert powers(printed(words, io.StringIO())) == set(), words
    assert powers("\n".join(live(maker, study, text))) == set()


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.fixture
def monkeypatch_env(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")


def live(maker, study, text):
    """All lines of a running study, in every form in which they are shown."""
    with maker.database.read() as connection:
        summary = summarize(connection, study_by_id(connection, study.id))
        rows = study_trials(connection, study.id)
        (run,) = study_trials(connection, study.id, kind=CONFIRM)
    events = [
        StudyStarted(summary, 1, leads=True),
        TrialStarted(rows[5]),
        *(TrialFinished(row, is_best=False) for row in rows[:5]),
        ConfirmProgress(1, 1, replace(run, end_reason=EndReason.FAILED)),
        Notice(text),
        StudyFinished(summary),
    ]
    lines = opening(events[0])
    board = Board({})
    plain = PlainView(Board({}), lines.append, lambda: False)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for event in events:
            board.take(event)
            plain.show(event)
            JsonView().show(event)
    lines += out.getvalue().splitlines()
    return [*lines, *(line.plain for line in frame(board, 200, 40, stopping=False))]


def test_colours_are_the_only_escapes_on_a_terminal(hostile, monkeypatch):
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    _, _, write = hostile
    write("\x1b[2J\x1b]0;owned\x07")
    for words in COMMANDS[:8]:
        text = printed(words, Terminal())
        escapes = [part.partition("m")[0] for part in text.split("\x1b[")[1:]]
        assert all(part.replace(";", "").isdigit() for part in escapes), words
        assert "\x1b]" not in text
    assert "\x1b[" in printed(COMMANDS[0], Terminal())
    assert sys.stdout is not None
