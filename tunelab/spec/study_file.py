"""Study files: read with every problem located, written so that they read back the same."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError

from tunelab.errors import NotFoundError, Problem, StudyFileError, nearest
from tunelab.spec.overrides import NOT_TEXT, Merged, Override, given_at, merge
from tunelab.spec.part import Place
from tunelab.spec.problems import dotted, problems_of
from tunelab.spec.rules import shown
from tunelab.spec.study import StudySpec
from tunelab.spec.yaml_errors import Flaw, Mark, mark_at
from tunelab.spec.yaml_tree import Node, read_tree
from tunelab.spec.yaml_writer import to_yaml

MAX_BYTES = 1_000_000
MAX_LINE = 20_000

_KEYS = " ".join(StudySpec.known_keys())
_NO_STUDY = {
    b"\x1f\x8b": "it is compressed with gzip: unpack it first",
    b"\xff\xfe": "it is UTF-16: save it as UTF-8",
    b"\xfe\xff": "it is UTF-16: save it as UTF-8",
}
"""How files begin that are taken for text."""


@dataclass(frozen=True)
class StudyDocument:
    """A study file that was read, with the settings that go before it, and found right.

    Attributes:
        spec: What they say.
        path: The file, as it was named.
        text: Its text.
        tree: Where everything in the file stands.
        origins: Dotted key -> the setting that put a value there in the file's place.
    """

    spec: StudySpec
    path: Path
    text: str
    tree: Node
    origins: Mapping[str, Override] = field(default_factory=dict)

    def resolve(self, n_train: int, *, n_trials: int | None = None) -> StudySpec:
        """`StudySpec.resolve`, whose problems get this file's lines.

        Raises:
            StudyFileError: If the space asks for more than the data have.
        """
        try:
            return self.spec.resolve(n_train, n_trials=n_trials)
        except StudyFileError as error:
            raise StudyFileError([self.located(item) for item in error.problems]) from None

    def located(self, problem: Problem) -> Problem:
        """A problem that names a key, with the place of that key."""
        mark = self.tree.locate(tuple(problem.key.split(".")))
        problem = replace(problem, file=str(self.path), line=mark.line, column=mark.column)
        return _blamed(problem, self._merged)

    def source(self, place: Place) -> str | None:
        """Where a value of the resolved study was given: ``digits.yaml:14``, or a setting.

        A name that stands for a mapping counts as that mapping's entry: ``[sgd, adam]`` gives the
        two optimizers and nothing in them, ``pruner: median`` the pruner's name. None: nowhere.
        """
        key = dotted(place)
        node = given_at(self.tree, place)
        if node is None and place:
            node = _named(given_at(self.tree, place[:-1]), place[-1])
        if node is None:
            return None
        setting = self._merged.origin(key)
        return f"{self.path}:{node.mark.line}" if setting is None else setting.origin

    @property
    def _merged(self) -> Merged:
        return Merged(self.tree, self.origins)


def read_study_file(path: str | Path, overrides: Sequence[Override] = ()) -> StudyDocument:
    """Read and check a study file.

    Args:
        path: The file.
        overrides: Settings that go before what it says, the later ones before the earlier.

    Raises:
        NotFoundError: If there is no such file, or it is a folder.
        StudyFileError: With everything that is wrong in it.
    """
    path = Path(path)
    text = _read_text(path)
    tree, flaws = read_tree(text)
    problems = [_problem(path, flaw) for flaw in flaws]
    spec = None
    merged = None
    if (tree is None or tree.value is None) and not problems:
        problems = [Problem(str(path), None, None, "", "the study file is empty")]
    elif tree is not None and not isinstance(tree.value, dict):
        message = f"must be a mapping with the keys {_KEYS}, got {shown(tree.plain())}"
        problems = [*problems, Problem(str(path), *tree.mark, "", message)]
    elif tree is not None:
        merged = merge(tree, overrides)
        problems += merged.problems
        try:
            spec = StudySpec.model_validate(merged.tree.plain())
        except ValidationError as error:
            covered = [flaw.place for flaw in flaws if flaw.covers]
            found = problems_of(error, str(path), merged.tree.locate, covered)
            problems += [_blamed(problem, merged) for problem in found]
    if problems or spec is None or merged is None:
        raise StudyFileError(sorted(problems, key=lambda item: (item.line or 0, item.column or 0)))
    # A path in the file is meant from the file's folder, one on the command line from here.
    folder = Path() if merged.origin("data.path") else path.parent
    spec = spec.model_copy(update={"data": spec.data.located(folder)})
    return StudyDocument(spec, path, text, merged.tree, merged.origins)


def resolved_yaml(spec: StudySpec) -> str:
    """A study file that says everything ``spec`` says, defaults included."""
    return to_yaml(spec.to_mapping())


def _problem(path: Path, flaw: Flaw) -> Problem:
    return Problem(str(path), *flaw.mark, dotted(flaw.place), flaw.message, flaw.hint)


def _blamed(problem: Problem, merged: Merged) -> Problem:
    """The problem as it is, or with the setting that caused it in the place of the file."""
    setting = merged.origin(problem.key) if problem.key else None
    if setting is None:
        return problem
    key = "" if setting.key == problem.key else problem.key
    return replace(problem, file=setting.origin, line=None, column=None, key=key)


def _named(given: Node | None, name: str | int) -> Node | None:
    """The item of a list of names, or the single name, that stands for the entry ``name``."""
    if given is None or isinstance(given.value, dict):
        return None
    if isinstance(given.value, list):
        return next((item for item in given.value if item.value == name), None)
    return given if name in (given.value, "name") else None


def _read_text(path: Path) -> str:
    data = _read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"must be UTF-8 text, got the byte 0x{data[error.start]:02x}"
        starts = (hint for start, hint in _NO_STUDY.items() if data.startswith(start))
        hint = next(starts, f"save it as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 {path}")
        raise _refusal(path, message, Mark(line, column), hint) from None
    odd = NOT_TEXT.search(text)
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
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror or error}") from None
    finally:
        os.close(handle)
    if len(data) > MAX_BYTES:
        raise _refusal(path, f"must have at most {MAX_BYTES} bytes, got more")
    return data


def _refusal(
    path: Path, message: str, mark: Mark | None = None, hint: str | None = None
) -> StudyFileError:
    line, column = mark or (None, None)
    return StudyFileError([Problem(str(path), line, column, "", message, hint)])


def _neighbour(path: Path) -> str | None:
    """A study file beside the missing one that may have been meant."""
    try:
        names = [item.name for item in path.parent.glob("*.y*ml") if item.is_file()]
    except (OSError, ValueError):
        return None
    match = nearest(path.name, names)
    return None if match is None else f"did you mean {str(path.with_name(match))!r}?"
