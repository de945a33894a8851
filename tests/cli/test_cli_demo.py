"""``tunelab demo``: what it writes and prints, and what it does not overwrite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import on_a_terminal
from tunelab.training.optimizers import OPTIMIZERS

STEPS = ("--steps", "8")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_surfaces_writes_both_files_here_and_a_line_for_each_race(call, home):
    ended = call("demo", "surfaces", *STEPS)
    assert ended.code == 0
    assert names(home) == ["demo-surfaces.gif", "demo-surfaces.html"]
    assert (home / "demo-surfaces.gif").read_bytes().startswith(b"GIF89a")
    _, page, gif = ended.err.splitlines()
    assert page.startswith("wrote demo-surfaces.html (")
    assert gif.startswith("wrote demo-surfaces.gif (")
    head, *rows = (line.split("\t") for line in ended.out.splitlines())
    assert head == [
        "optimizer", "surface", "outcome", "steps", "learning_rate", "value_above_minimum",
        "ended_at", "rates_arrived", "rates_diverged", "rates_tried",
    ]  # fmt: skip
    assert [row[0] for row in rows] == [*OPTIMIZERS] * 5
    found = {(row[0], row[1]): row[2:] for row in rows}
    assert found["adagrad", "saddle"][:3] == ["arrived", "8", "1.0"]
    assert found["sgd", "rosenbrock"][:2] == ["never", ""]


def test_json_is_one_document(call, home):
    ended = call("demo", "surfaces", *STEPS, "--json", "-o", "new/pictures")
    assert ended.code == 0
    document = json.loads(ended.out)
    assert (document["schema"], document["max_steps"]) == (1, 8)
    assert names(home / "new" / "pictures") == ["demo-surfaces.gif", "demo-surfaces.html"]


@pytest.mark.parametrize("name", ["a.gif", "b.html"])
def test_one_file_alone_may_be_asked_for(call, home, name):
    assert call("demo", "surfaces", *STEPS, "-o", name).code == 0
    assert names(home) == [name]


@pytest.mark.parametrize(
    "columns",
    [pytest.param(120, marks=pytest.mark.long), 80, pytest.param(50, marks=pytest.mark.long)],
)
def test_on_a_terminal_there_is_a_table(home, columns):
    lines = on_a_terminal(columns, "demo", "surfaces", *STEPS)
    first = next(number for number, line in enumerate(lines) if line.startswith("sgd "))
    table = lines[first - 1 : first + len(OPTIMIZERS)]
    assert max(map(len, table)) <= columns
    assert ("RATE" in table[0]) == (columns > 50)
    assert [line.split()[0] for line in table[1:]] == list(OPTIMIZERS)
    assert "within 0.001" in lines[-1]


@pytest.mark.parametrize(
    ("words", "name", "start"),
    [
        ([], "demo-schedules.png", b"\x89PNG"),
        (["-o", "rates.svg"], "rates.svg", b"<?xml"),
        (["-o", "pictures"], "pictures/demo-schedules.png", b"\x89PNG"),
    ],
)
def test_schedules_writes_a_picture(call, home, words, name, start):
    ended = call("demo", "schedules", "--epochs", "12", *words)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith(f"wrote {name} (")
    assert (home / name).read_bytes().startswith(start)


COMMANDS = [
    (["demo", "surfaces", *STEPS, "-o", "a.html"], "a.html"),
    (["demo", "schedules", "-o", "a.svg"], "a.svg"),
]


@pytest.mark.parametrize(("words", "name"), COMMANDS)
def test_an_earlier_result_is_replaced_and_other_files_are_not(call, home, words, name):
    assert call(*words).code == 0
    first = (home / name).read_bytes()
    assert call(*words).code == 0
    assert (home / name).read_bytes() == first
    (home / name).write_text("my own")
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {name} exists, and was not made by `tunelab {words[0]} ")
    assert "--force" in ended.err
    assert (home / name).read_text() == "my own"
    assert call(*words, "--force").code == 0
    assert (home / name).read_bytes() == first
    assert names(home) == [name]


def test_no_file_is_touched_if_one_of_them_may_not_be_replaced(call, home):
    (home / "demo-surfaces.gif").write_text("my own")
    assert call("demo", "surfaces", *STEPS).code == 2
    assert names(home) == ["demo-surfaces.gif"]


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "surfaces", "--steps", "0"],
        ["demo", "surfaces", "--steps", "10001"],
        ["demo", "surfaces", "--steps", "many"],
        ["demo", "surfaces", "-o", "a.png"],
        ["demo", "schedules", "--epochs", "2"],
        ["demo", "schedules", "-o", "a.gif"],
        ["demo", "valleys"],
        ["demo"],
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(call, home, words):
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
    assert names(home) == []


@pytest.mark.parametrize("command", ["surfaces", "schedules"])
def test_where_nothing_can_be_written_the_command_ends_with_4(call, home, command):
    (home / "file").write_text("")
    ended = call("demo", command, "-o", "file/pictures")
    assert (ended.code, ended.out) == (4, "")
    first, second = ended.err.splitlines()
    assert first.startswith("error: cannot write file/pictures/demo-")
    assert first.endswith(": not a directory")
    assert second == "  hint: choose another place with --output"
    assert names(home) == ["file"]


def test_a_pipe_or_a_folder_of_that_name_is_left_alone(call, home):
    (home / "pictures" / "demo-schedules.png").mkdir(parents=True)
    ended = call("demo", "schedules", "-o", "pictures", "--force")
    assert ended.code == 2
    assert "is not a file" in ended.err


@pytest.mark.parametrize("words", [["demo", "--help"], ["demo", "schedules", "--help"]])
def test_help_waits_for_no_library(words):
    program = (
        "import sys\nfrom tunelab.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "print({'numpy', 'matplotlib', 'PIL', 'rich'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "set()"


def test_the_surfaces_load_neither_optuna_nor_mlflow_nor_a_database(home):
    program = (
        "import sys\nfrom tunelab.cli import main\n"
        "try:\n    main(['demo', 'surfaces', '--steps', '2', '-o', 'a.html'])\n"
        "except SystemExit:\n    pass\n"
        "print({'optuna', 'mlflow', 'sklearn', 'sqlalchemy'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "set()"
