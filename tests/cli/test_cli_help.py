"""Help: quick, complete, and without heavy libraries."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

HEAVY = ("numpy", "optuna", "sklearn", "sqlalchemy", "mlflow", "matplotlib", "pandas", "rich")

LIST_MODULES = """
import sys
from tunelab.cli import main
try:
    main({arguments!r})
except SystemExit as left:
    code = left.code
print("MODULES", code, *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def loaded_by(*arguments: str) -> set[str]:
    program = LIST_MODULES.format(arguments=list(arguments))
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    marker, code, *modules = result.stdout.splitlines()[-1].split()
    assert (marker, code) == ("MODULES", "0")
    return set(modules)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["study"],
        ["study", "start"],
        ["ui"],
        ["doctor"],
        ["tracking", "sync"],
        ["worker", "run"],
        ["demo", "surfaces"],
    ],
)
def test_help_loads_no_heavy_library(words):
    assert not loaded_by(*words, "--help") & set(HEAVY)


def test_version_loads_no_heavy_library():
    assert not loaded_by("--version") & set(HEAVY)


def test_validating_a_study_file_loads_neither_optuna_nor_mlflow(home):
    study_file = home / "iris.yaml"
    study_file.write_text("{name: iris, task: classification, data: {source: sklearn, name: iris}}")
    modules = loaded_by("study", "validate", str(study_file))
    assert not modules & {"optuna", "mlflow", "matplotlib"}


def test_help_takes_little_time():
    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    times = []
    for _ in range(3):
        before = spent()
        command = [sys.executable, "-m", "tunelab", "--help"]
        subprocess.run(command, capture_output=True, check=True)
        times.append(spent() - before)
    # Of the best of three: the machine may be busy with something else.
    assert min(times) < 0.3


def test_every_command_has_help_with_an_example(call):
    commands = ["start", "resume", "stop", "delete", "list", "show", "trials", "trial", "validate"]
    commands += ["watch", "confirm", "compare", "export"]
    for words in (
        ["init"],
        ["ui"],
        ["doctor"],
        ["tracking", "sync"],
        ["worker", "run"],
        ["demo", "surfaces"],
        ["demo", "schedules"],
        *(["study", command] for command in commands),
    ):
        ended = call(*words, "--help")
        assert ended.code == 0
        assert f"Example: tunelab {' '.join(words)}" in ended.out
        assert ended.err == ""


def test_without_a_command_the_help_goes_to_standard_error(call):
    for words in ([], ["study"]):
        ended = call(*words)
        assert (ended.code, ended.out) == (2, "")
        assert "Commands:" in ended.err


def test_the_program_is_called_tunelab_however_it_is_started():
    command = [sys.executable, "-m", "tunelab", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "tunelab 0.1.0\n"
