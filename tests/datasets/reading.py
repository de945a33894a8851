"""Files of data as users write them, read; and what is said about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunelab.datasets.sources import RawData, read_source
from tunelab.errors import DataError, Problem
from tunelab.spec.study import DataSpec

HEADER = "age,income,label\n"
ROWS = "".join(f"{20 + 7 * k % 40},{3 * k % 11}.5,{'yes' if k % 3 else 'no'}\n" for k in range(12))
"""Twelve rows, in lines 2 to 13 of a file with this header: what is added begins in line 14."""


def described(path: Path, **keys: Any) -> DataSpec:
    """The description of a file: its source after its name's end, and the target ``label``."""
    given = {"source": path.suffix[1:], "path": str(path), "target": "label", **keys}
    return DataSpec.model_validate({key: value for key, value in given.items() if value})


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, task: str = "classification", **keys: Any) -> RawData:
    return read_source(described(path, **keys), task)


def refused(path: Path, task: str = "classification", **keys: Any) -> tuple[Problem, ...]:
    """The problems for which a file is refused."""
    with pytest.raises(DataError) as caught:
        read(path, task, **keys)
    problems: tuple[Problem, ...] = caught.value.problems
    assert {problem.file for problem in problems} == {str(path)}
    assert caught.value.n_more or str(caught.value) == "\n".join(map(str, problems))
    return problems


def told_of_many(path: Path, task: str = "classification", **keys: Any) -> list[str]:
    """The lines of what is said about a file with too many problems, without its folder."""
    with pytest.raises(DataError) as caught:
        read(path, task, **keys)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def told(path: Path, task: str = "classification", **keys: Any) -> list[str]:
    """What is said about a file, without its folder."""
    problems = refused(path, task, **keys)
    return [str(problem).replace(f"{path.parent}/", "") for problem in problems]


def columns_of(raw: RawData) -> dict[str, list[Any]]:
    return {column.name: column.values.tolist() for column in raw.columns}
