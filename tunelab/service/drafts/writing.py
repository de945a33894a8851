"""``tunelab init``: from a file of data to a study file that has been tried out.

The text is rehearsed in a folder of its own, the way that ``study start`` takes up to its first
trial; only then does it appear under its name, whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from tunelab.datasets.sources.flaws import listed, short, shown_text
from tunelab.datasets.sources.sheet import Sheet
from tunelab.datasets.survey import Facts, Target, look_at, look_at_target, open_sheet
from tunelab.errors import (
    DataError,
    DataFileError,
    DiskError,
    MissingDataFileError,
    NotFoundError,
    Problem,
    StudyFileError,
    UsageError,
    nearest,
)
from tunelab.service.drafts import plan
from tunelab.service.drafts.budget import space_and_search
from tunelab.service.drafts.columns import Role, notes_on, role_of
from tunelab.service.drafts.draft import Draft
from tunelab.service.drafts.missing import kept_rows, settle_missing
from tunelab.service.drafts.page import page
from tunelab.service.estimate import rehearse
from tunelab.spec.data_rules import path as path_rule
from tunelab.spec.rules import RefusedError
from tunelab.spec.study_file import read_study_file

_MOST_LISTED = 60
_LIKELY_TARGETS = (
    "target", "label", "y", "class", "outcome", "response", "result", "species", "churn", "left",
)  # fmt: skip

# What a study file would say, in the words of this command.
_REMEDIES = (
    (re.compile(r"set task: (\w+)"), r"give --task \1"),
    (re.compile(r"(list it|list the column) under data\.drop"), "leave the column out by --drop"),
    (re.compile(r"data\.drop"), "--drop"),
    (re.compile(r" under data\.path"), ""),
    (re.compile(r"name one column"), "name one column by --target"),
)


@dataclass(frozen=True)
class Written:
    """A study file that was written.

    Attributes:
        path: Where.
        draft: What is in it.
    """

    path: Path
    draft: Draft


def write_study_file(
    data: Path,
    targets: Sequence[str],
    *,
    output: Path | None = None,
    name: str | None = None,
    task: str | None = None,
    drop: Sequence[str] = (),
    force: bool = False,
) -> Written:
    """Look at a file of data, and write a study file for it that can be started.

    The same file and arguments give the same text.

    Args:
        data: A CSV or Parquet file.
        targets: The columns to predict; each may also be several, with commas between them.
        output: The study file; None puts it beside the data.
        name: Of the study; None for one made from the file's name.
        task: ``classification`` or ``regression``; None lets the target decide.
        drop: Columns to leave out besides those that are found useless.
        force: Whether a file that is there may be replaced.

    Raises:
        UsageError: If an argument cannot be right.
        NotFoundError: If there is no such file, or no folder for the study file.
        DataError: If no study of these data could start.
        DiskError: If the study file cannot be written.
    """
    written = data.with_name(f"{data.stem}.yaml") if output is None else output
    _check_place(written, data, force=force)
    name = study_name(data.stem) if name is None else name
    with _told_of_data(data):
        sheet, source, delimiter = open_sheet(str(data.absolute()))
        draft = _draft(sheet, source, delimiter, targets, task, drop)
        _rehearse(draft, name, data, written)
    text = page(draft, name=name, path=_path_from(data, written), file_name=quote(_shown(written)))
    _write(written, text, force=force)
    return Written(written, draft)


def list_columns(data: Path) -> UsageError:
    """The error for a missing target: it lists the columns, and guesses which is meant.

    Raises:
        NotFoundError: If there is no such file.
        DataError: If it cannot be read.
    """
    with _told_of_data(data):
        sheet, _, _ = open_sheet(str(data.absolute()))
        shown = sheet.names[:_MOST_LISTED]
        lines = [_described(look_at(sheet, name, (), "classification")[0]) for name in shown]
    known = [name for name in _LIKELY_TARGETS if name in map(str.lower, sheet.names)]
    guess = sheet.names[-1]
    if known:
        guess = next(name for name in sheet.names if name.lower() == known[0])
    more = len(sheet.names) - len(shown)
    if more:
        lines.append(f"and {more:,} more")
    listing = "".join(f"\n    {line}" for line in lines)
    message = f"--target is missing: which of these columns is to be predicted?{listing}"
    option = f"tunelab init --data {quote(_shown(data))} --target {quote(guess)}"
    return UsageError(message, hint=f"perhaps {short(guess)}: {option}")


def study_name(stem: str) -> str:
    """A study's name from that of a file.

    >>> study_name("Köln 2024 (final)"), study_name("日本"), study_name("..")
    ('Koln-2024-final', 'study', 'study')
    """
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-")[:100]
    return name if name.strip(".-_") else "study"


def _draft(
    sheet: Sheet,
    source: str,
    delimiter: str,
    asked_targets: Sequence[str],
    asked_task: str | None,
    drop: Sequence[str],
) -> Draft:
    names = _known(sheet, "--target", _separated(asked_targets, sheet.names))
    left_out = _known(sheet, "--drop", _separated(drop, sheet.names))
    for name in names:
        if name in left_out:
            raise UsageError(f"--drop: {short(name)} is the target, which cannot be dropped")
        if name in sheet.unreadable or name in sheet.dates:
            why = sheet.unreadable.get(name, f"column {short(name)} has dates")
            raise DataError(f"{sheet.file}: --target: {why}", hint="name a column of numbers")
    if len(sheet.names) < 2:
        message = f"{sheet.file}: has 1 column, {short(sheet.names[0])}"
        raise DataError(message, hint="a table needs a target and at least one feature")
    if not sheet.n_rows:
        raise DataError(f"{sheet.file}: has column names and no row")
    targets = [look_at_target(sheet, name) for name in names]
    for target in targets:
        if not target.facts.n_present:
            raise DataError(f"{sheet.file}: the target {short(target.facts.name)} is empty")
    task = plan.task_of(targets, asked_task)
    roles = list(_roles(sheet, targets, task.value, left_out))
    roles, missing = settle_missing(roles, targets)
    _check_features(sheet, roles)
    n_rows = kept_rows(roles, targets, missing.value)
    n_outputs = len(targets) if task.value == "regression" else len(targets[0].counts)
    split, other_splits = plan.split_of(n_rows, roles, task.value)
    metric, uneven = plan.metric_of(targets, task.value)
    space, search = space_and_search(
        n_rows=n_rows,
        n_inputs=sum(role.n_inputs for role in roles),
        n_outputs=n_outputs,
        split=split.value,
        task=task.value,
        uneven=uneven,
    )
    return Draft(
        source=source,
        delimiter=delimiter,
        n_rows=sheet.n_rows,
        n_columns=len(sheet.names),
        targets=tuple(names),
        roles=tuple(roles),
        task=task,
        missing=missing,
        split=split,
        other_splits=other_splits,
        metric=metric,
        search=search,
        space=space,
        preset=plan.preset_of(n_rows),
        notes=notes_on(roles),
    )


def _roles(
    sheet: Sheet, targets: Sequence[Target], task: str, left_out: Sequence[str]
) -> Iterator[Role]:
    predicted = {target.facts.name for target in targets}
    for name in sheet.names:
        if name in predicted:
            continue
        if name in left_out:
            yield Role(Facts(name, "unread", sheet.n_rows), "drop", "as asked for by --drop")
            continue
        yield role_of(*look_at(sheet, name, targets, task))


def _check_features(sheet: Sheet, roles: Sequence[Role]) -> None:
    if any(role.part != "drop" for role in roles):
        return
    reasons = "".join(f"\n    {short(role.name)}: {role.reason}" for role in roles[:_MOST_LISTED])
    raise DataError(
        f"{sheet.file}: no column is left to predict from:{reasons}",
        hint="a study file written by hand may use them nevertheless",
    )


def _separated(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns that are asked for; a name with commas goes before a list of names."""
    found = []
    for text in given:
        found += [text] if text in names else [part.strip() for part in text.split(",")]
    return list(dict.fromkeys(name for name in found if name))


def _known(sheet: Sheet, option: str, names: list[str]) -> list[str]:
    for name in names:
        if name not in sheet.names:
            match = nearest(name, sheet.names)
            raise UsageError(
                f"{option}: {sheet.file} has no column {shown_text(name)}; the columns are: "
                f"{listed(sheet.names)}",
                hint=None if match is None else f"did you mean {shown_text(match)}?",
            )
    if option == "--target" and not names:
        raise UsageError("--target: must name a column, got nothing")
    return names


def _described(facts: Facts) -> str:
    what = {"almost numbers": "texts, most almost numbers"}.get(facts.kind, facts.kind)
    parts = [f"{what}, {facts.n_distinct:,} different" if facts.n_distinct else what]
    if facts.n_missing:
        parts.append(f"{facts.n_missing:,} missing")
    return f"{short(facts.name)}  {', '.join(parts)}"


def _rehearse(draft: Draft, name: str, data: Path, written: Path) -> None:
    """Take the way of ``study start`` up to its first trial, and leave nothing.

    Raises:
        DataError: If that does not succeed.
    """
    with tempfile.TemporaryDirectory(prefix="tunelab-") as folder:
        copy = Path(folder) / "study.yaml"
        absolute = _printable(str(data.absolute()))
        copy.write_text(
            page(draft, name=name, path=absolute, file_name=_shown(written)), encoding="utf-8"
        )
        try:
            rehearse(copy, (), timed=False)
        except StudyFileError as error:
            problems = [
                replace(p, file=_shown(data), line=None, column=None) for p in error.problems
            ]
            raise DataFileError(problems) from None


@contextlib.contextmanager
def _told_of_data(data: Path) -> Iterator[None]:
    """Turn what is said about a study file's section ``data`` into what this command takes."""
    try:
        yield
    except MissingDataFileError as error:
        (problem,) = error.problems
        hint = None
        if error.neighbour is not None:
            hint = f"did you mean {str(data.with_name(error.neighbour))!r}?"
        problem = replace(problem, key="--data", hint=hint)
        raise MissingDataFileError(problem, error.neighbour) from None
    except DataFileError as error:
        problems = [_in_our_words(problem) for problem in error.problems]
        raise DataFileError(problems, error.n_more) from None


def _in_our_words(problem: Problem) -> Problem:
    key = problem.key
    for section in ("target", "drop"):
        key = f"--{section}" if key == f"data.{section}" else key
    hint = problem.hint
    for pattern, remedy in _REMEDIES:
        hint = None if hint is None else pattern.sub(remedy, hint)
    return replace(problem, key=key, hint=hint)


def _check_place(written: Path, data: Path, *, force: bool) -> None:
    folder = written.parent
    if written.is_dir():
        raise UsageError(f"-o: must be a file, got the folder {_shown(written)}")
    if not folder.is_dir():
        message = f"there is no folder {_shown(folder)} for the study file"
        raise NotFoundError(message, hint="make it, or name another place by -o FILE")
    if not written.exists() and not written.is_symlink():
        return
    with contextlib.suppress(OSError):
        if written.samefile(data):
            message = f"-o: {_shown(written)} is the file of data itself"
            raise UsageError(message, hint="name another file")
    if not force:
        raise _exists(written)


def _exists(written: Path) -> UsageError:
    hint = "--force replaces it, -o FILE writes to another"
    return UsageError(f"{_shown(written)} exists already", hint=hint)


def _path_from(data: Path, written: Path) -> str:
    """The file of data as the study file names it."""
    absolute = data.absolute()
    try:
        relative = os.path.relpath(absolute, written.parent.resolve())
        # A folder that is a link leads elsewhere by "..".
        if not (written.parent / relative).samefile(absolute) or relative.startswith("~"):
            relative = str(absolute)
    except (OSError, ValueError):  # on another drive
        relative = str(absolute)
    return _printable(relative.replace(os.sep, "/"))


def _printable(path: str) -> str:
    try:
        return str(path_rule(path))
    except RefusedError as error:
        raise UsageError(f"--data: {error.message}", hint="rename the file or its folder") from None


def _shown(path: Path) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def _write(written: Path, text: str, *, force: bool) -> None:
    """Make the whole text appear at once, or nothing.

    Raises:
        UsageError: If somebody has written a file there in the meantime.
        DiskError: If it cannot be written.
    """
    # No name that a service which looks for study files would take up.
    temporary = written.with_name(f".tunelab-init-{secrets.token_hex(8)}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        read_study_file(temporary)
        if force:
            temporary.replace(written)
        else:
            _appear(temporary, written)
    except FileExistsError:
        raise _exists(written) from None
    except OSError as error:
        raise DiskError(
            f"{_shown(written)}: cannot be written: {error.strerror or error}",
            hint="check that the folder may be written to and that the disk is not full",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _appear(temporary: Path, written: Path) -> None:
    """Give a file its name, unless there is one of that name."""
    try:
        os.link(temporary, written)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without links
        if written.exists():
            raise FileExistsError from None
        temporary.rename(written)
