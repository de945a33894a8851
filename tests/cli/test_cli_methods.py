"""``tunelab optimizers`` and ``tunelab schedules``: on terminals, in pipes and as JSON."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.cli.conftest import on_a_terminal
from tunelab.cli.catalogue import document
from tunelab.cli.dimensions import searched
from tunelab.spec.space import Choice, Fixed, FloatRange, IntRange
from tunelab.training.optimizers import OPTIMIZERS
from tunelab.training.schedules import SCHEDULES, default_settings

FAMILIES = [("optimizers", OPTIMIZERS), ("schedules", SCHEDULES)]


@pytest.mark.parametrize(("family", "registry"), FAMILIES)
@pytest.mark.parametrize("columns", [140, 80, 40])
def test_the_list_fits_a_terminal_of_any_width(family, registry, columns):
    lines = on_a_terminal(columns, family)
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in "".join(lines)  # NO_COLOR
    text = " ".join(" ".join(lines).split())
    assert text.startswith(f"9 {family}; `tunelab {family} NAME` tells all about one searched: ")
    assert "the default ranges for 100 epochs and 1000 training rows" in text
    headings = [line.split()[0] for before, line in pairwise(lines) if not before]
    assert headings == [*registry, *(["warm_up"] if family == "schedules" else [])]
    tables = [line.split() for line in lines if line.startswith("  SETTING")]
    assert len(tables) == len(registry)
    head = ["SETTING", "DEFAULT", "SEARCHED", "VALID"]
    # Too narrow a terminal shows fewer columns, never half a number.
    assert all(table == head[: len(table)] and len(table) >= 2 for table in tables)
    assert all(table == head for table in tables) == (columns > 40)


def test_a_member_of_the_list_shows_formula_and_settings():
    lines = on_a_terminal(80, "schedules")
    first = lines.index("linear  Fall along a straight line for tau epochs, then keep the rate.")
    assert lines[first + 1 : first + 7] == [
        "  a = min(k / tau, 1)",
        "  rate(k) = (1 - a) * initial + a * end * initial",
        "  SETTING  DEFAULT     SEARCHED   VALID",
        "  end      0.01        -          [0, 1]",
        "  tau      by the run  50 to 100  1 to 1000000, whole",
        "  warm_up  0           -          0 to 1000000, whole",
    ]


def test_formulas_have_a_colour_where_there_are_colours():
    lines = on_a_terminal(80, "optimizers", NO_COLOR="")
    assert any("\x1b[36m  w <- w - learning_rate * g" in line for line in lines)


@pytest.mark.parametrize(("family", "registry"), FAMILIES)
def test_in_a_pipe_there_is_a_line_for_each_setting(call, family, registry):
    ended = call(family)
    assert ended.code == 0
    assert ended.err == (
        "searched: the default ranges for 100 epochs and 1000 training rows; "
        "some scale with the epochs\n"
    )
    head, *rows = (line.split("\t") for line in ended.out.splitlines())
    assert head == [
        "name", "setting", "default", "searched", "valid", "searched_by_default", "summary",
        "formula",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(head)}
    assert list(dict.fromkeys(row[0] for row in rows)) == list(registry)
    assert all(row[4] and row[6] and row[7] for row in rows)


def test_lines_in_a_pipe_hold_full_values(call):
    rows = {tuple(row[:2]): row[2:6] for row in map(str.split, call("optimizers").out.splitlines())}
    assert rows["adam", "epsilon"][0] == "1e-08"
    lines = [line.split("\t") for line in call("schedules").out.splitlines()]
    cells = {(line[0], line[1]): line[2:6] for line in lines}
    assert cells["step_drop", "factor"] == ["0.5", "0.1, 0.5", "(0, 1]", "yes"]
    assert cells["linear", "tau"] == ["", "50 to 100", "1 to 1000000, whole", "yes"]
    assert cells["piecewise", "rates"][0] == ""
    assert cells["one_cycle", "rise"] == ["0.3", "", "(0, 1)", "no"]
    formulas = {line[0]: line[7] for line in lines}
    assert formulas["linear"] == (
        "a = min(k / tau, 1); rate(k) = (1 - a) * initial + a * end * initial"
    )


@pytest.mark.parametrize(("family", "registry"), FAMILIES)
def test_json_is_complete(call, family, registry):
    ended = call(family, "--json")
    assert (ended.code, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert (told["schema"], told["max_epochs"], told["n_train"]) == (1, 100, 1000)
    assert [entry["name"] for entry in told[family]] == list(registry)
    for entry in told[family]:
        assert entry["summary"]
        assert entry["formula"]
        assert all(own["valid"]["kind"] for own in entry["settings"])


def test_the_defaults_in_json_are_those_of_the_signatures(call):
    for entry in json.loads(call("optimizers", "--json").out)["optimizers"]:
        defaults = {own["name"]: own["default"] for own in entry["settings"]}
        defaults.pop("learning_rate")
        parameters = inspect.signature(OPTIMIZERS[entry["name"]]).parameters
        assert defaults == {key: parameter.default for key, parameter in parameters.items()}
    for entry in json.loads(call("schedules", "--json").out)["schedules"]:
        defaults = {
            own["name"]: inspect.Parameter.empty if own["required"] else own["default"]
            for own in entry["settings"]
        }
        assert defaults == default_settings(entry["name"])


def test_one_member_as_json_is_the_same_document_with_the_one(call):
    every = json.loads(call("schedules", "--json").out)
    one = json.loads(call("schedules", "cosine", "--json").out)
    assert one["schedules"] == [entry for entry in every["schedules"] if entry["name"] == "cosine"]
    assert one.keys() == every.keys() - {"wrappers"}
    wrapper = json.loads(call("schedules", "warm_up", "--json").out)
    assert wrapper["schedules"] == []
    assert [entry["name"] for entry in wrapper["wrappers"]] == ["warm_up"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_optimizer_in_full_has_its_whole_text(call, name):
    ended = call("optimizers", name)
    assert (ended.code, ended.err) == (0, "")
    words = ended.out.replace("`", "").split()
    text = inspect.getdoc(OPTIMIZERS[name])
    expected = text.replace("``", "").replace("`", "").replace("::", ":").split()
    assert " ".join(expected[-20:]) in " ".join(words)
    assert set(expected) <= set(words)


def test_one_schedule_in_full_tells_settings_source_and_differences(call):
    out = call("schedules", "step_drop").out
    assert out.startswith(
        "step_drop  Multiply the rate by a factor at regular intervals of epochs.\n"
    )
    assert "\n  SETTING  DEFAULT  SEARCHED  VALID\n  factor   0.5      0.1, 0.5  (0, 1]\n" in out
    assert "\n    rate(k) = initial * factor ^ floor((offset + k) / every)\n" in out
    assert "\nSource: the lecture," in out
    assert "\nArgs:\n    initial: First rate, > 0.\n" in out
    assert "PyTorch's StepLR agrees" in " ".join(out.split())
    assert "for 100 epochs and 1000 training rows" in out
    assert "``" not in out


@pytest.mark.parametrize("columns", [100, 80, 40])
def test_one_in_full_fits_a_terminal_of_any_width(columns):
    lines = on_a_terminal(columns, "schedules", "hold_then_exponential")
    # Words are never cut: a call in the example may be longer than a line.
    assert all(len(line) <= columns or " " not in line.strip() for line in lines)
    assert lines[-1].endswith("0.036788)")


def test_members_that_a_study_has_to_name_say_so(call):
    assert "Searched only where a study names it." in " ".join(
        call("optimizers", "adamw").out.split()
    )
    assert "Searched only where" not in call("optimizers", "adam").out


def test_the_warm_up_has_a_page_of_its_own_and_no_settings(call):
    out = call("schedules", "warm_up").out
    assert out.startswith("warm_up  Rise to the initial rate")
    assert "SETTING" not in out
    assert "Goyal et al. (2017)" in out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["optimizers", "adm"], "no optimizer 'adm'; there are: sgd", "did you mean 'adam'?"),
        (
            ["schedules", "cosin"],
            "no schedule 'cosin'; there are: constant",
            "did you mean 'cosine'?",
        ),
    ],
)
def test_an_unknown_name_ends_with_2_and_the_nearest(call, words, message, hint):
    ended = call(*words)
    assert (ended.code, ended.out) == (2, "")
    first, second = ended.err.splitlines()
    assert first.startswith(f"error: {message}")
    assert second == f"  hint: {hint}"
    error = json.loads(call(*words, "--json").out)["error"]
    assert error["hint"] == hint


def test_a_name_with_escapes_has_no_power_over_the_terminal(call):
    ended = call("optimizers", "\x1b[2Jadam")
    assert ended.code == 2
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("family", ["optimizers", "schedules"])
def test_the_commands_have_help_with_an_example(call, family):
    ended = call(family, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert f"tunelab {family} [OPTIONS] [NAME]" in ended.out
    assert f"Example: tunelab {family} " in ended.out
    assert f"  {family} " in call("--help").out


@pytest.mark.parametrize("words", [["--help"], ["optimizers", "--help"], ["schedules", "--help"]])
def test_help_waits_for_no_numpy(words):
    program = (
        "import sys\nfrom tunelab.cli import main\n"
        f"try:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'rich', 'tunelab.service.catalogue'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_commands_load_no_library_that_takes_long():
    program = (
        "import sys\nfrom tunelab.cli import main\n"
        "try:\n    main(['schedules', '--json'])\nexcept SystemExit:\n    pass\n"
        "print({'optuna', 'mlflow', 'sklearn', 'sqlalchemy', 'matplotlib'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("dimension", "words"),
    [
        (Fixed("relu"), "relu"),
        (Fixed(0.5), "0.5"),
        (Choice(("a", "b")), "a, b"),
        (FloatRange(0.5, 0.99, "reverse_log"), "0.5 to 0.99, reverse log"),
        (FloatRange(0.0, 1.0, step=0.25, optional=True), "0 to 1, step 0.25, or off"),
        (IntRange(1, 9, step=2), "1 to 9, step 2"),
        (None, "-"),
    ],
)
def test_dimensions_in_words(dimension, words):
    assert searched(dimension) == words


def test_a_docstring_is_broken_by_its_paragraphs_alone():
    text = inspect.cleandoc("""
        One ``two``
        three four::

            a  =  1
            b  =  2

        five

        Args:
            x: One two three
                four five.
            y: Six.

        >>> f("a  b")
        'c'
    """)
    assert [line.plain for line in document(text, 20)] == [
        "One two three four:",
        "",
        "    a  =  1",
        "    b  =  2",
        "",
        "five",
        "",
        "Args:",
        "    x: One two three",
        "        four five.",
        "    y: Six.",
        "",
        '>>> f("a  b")',
        "'c'",
    ]
