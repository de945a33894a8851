"""Study files: read with every problem located, written so that they read back the same."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from tunelab.errors import NotFoundError, Problem, StudyFileError, nearest
from tunelab.spec.problems import dotted, problems_of
from tunelab.spec.rules import shown
from tunelab.spec.study import StudySpec
from tunelab.spec.yaml_errors import Flaw, Mark, mark_at
from tunelab.spec.yaml_tree import Node, read_tree
from tunelab.spec.yaml_writer import to_yaml

MAX_BYTES = 1_000_000
MAX_LINE = 20_000

_KEYS = " ".join(StudySpec.known_keys())
_NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True)
class StudyDocument:
    """A study file that was read and found right.

    Attributes:
        spec: What it says.
        path: The file, as it was named.
        text: Its text.
        tree: Where everything stands.
    """

    spec: StudySpec
    path: Path
    text: str
    tree: Node

    def resolve(self, n_train: int) -> StudySpec:
        """`StudySpec.resolve`, whose problems get this file's lines.

        Raises:
            StudyFileError: If the space asks for more than the data have.
        """
        try:
            return self.spec.resolve(n_train)
        except StudyFileError as error:
            raise StudyFileError([self._located(item) for item in error.problems]) from None

    def _located(self, problem: Problem) -> Problem:
        mark = self.tree.locate(tuple(problem.key.split(".")))
        return replace(problem, file=str(self.path), line=mark.line, column=mark.column)


def read_study_file(path: str | Path) -> StudyDocument:
    """Read and check a study file.

    Raises:
        NotFoundError: If there is no such file, or it is a folder.
        StudyFileError: With everything that is wrong in it.
    """
    text = _read_text(Path(path))
    tree, flaws = read_tree(text)
    problems = [_problem(path, flaw) for flaw in flaws]
    spec = None
    if (tree is None or tree.value is None) and not problems:
        problems = [Problem(str(path), None, None, "", "the study file is empty")]
    elif tree is not None and not isinstance(tree.value, dict):
        message = f"must be a mapping with the keys {_KEYS}, got {shown(tree.plain())}"
        problems = [*problems, Problem(str(path), *tree.mark, "", message)]
    elif tree is not None:
        try:
            spec = StudySpec.model_validate(tree.plain())
        except ValidationError as error:
            covered = [flaw.place for flaw in flaws if flaw.covers]
            problems += problems_of(error, str(path), tree.locate, covered)
    if problems or spec is None or tree is None:
        raise StudyFileError(sorted(problems, key=lambda item: (item.line or 0, item.column or 0)))
    return StudyDocument(spec, Path(path), text, tree)


def resolved_yaml(spec: StudySpec) -> str:
    """A study file that says everything ``spec`` says, defaults included."""
    return to_yaml(spec.to_mapping())


def _problem(path: str | Path, flaw: Flaw) -> Problem:
    return Problem(str(path), *flaw.mark, dotted(flaw.place), flaw.message, flaw.hint)


def _read_text(path: Path) -> str:
    data = _read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"must be UTF-8 text, got the byte 0x{data[error.start]:02x}"
        raise _refusal(path, message, Mark(line, column)) from None
    odd = _NOT_TEXT.search(text)
    if odd is not None:
        message = f"must be text, got the character U+{ord(odd[0]):04X}"
        raise _refusal(path, message, mark_at(text, odd.start()))
    for number, content in enumerate(text.split("\n"), start=1):
        # The parser's time grows with the square of some lines' length.
        if len(content) > MAX_LINE:
            message = f"a line must have at most {MAX_LINE} characters, got {len(content)}"
            raise _refusal(path, message, Mark(number, 1))
    return text


def _read_bytes(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no study file {str(path)!r}", hint=_neighbour(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(path, f"cannot be read: {reason}") from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise NotFoundError(f"{str(path)!r} is a folder, not a study file")
        if not stat.S_ISREG(mode):
            raise _refusal(path, "must be a regular file, got a pipe or device")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MAX_BYTES:
        raise _refusal(path, f"must have at most {MAX_BYTES} bytes, got more")
    return data


def _refusal(path: Path, message: str, mark: Mark | None = None) -> StudyFileError:
    line, column = mark or (None, None)
    return StudyFileError([Problem(str(path), line, column, "", message)])


def _neighbour(path: Path) -> str | None:
    """A study file beside the missing one that may have been meant."""
    try:
        names = [item.name for item in path.parent.glob("*.y*ml")]
    except (OSError, ValueError):
        return None
    match = nearest(path.name, names)
    return None if match is None else f"did you mean {str(path.with_name(match))!r}?"
