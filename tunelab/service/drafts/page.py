"""A draft as the text of a study file: every reason in a comment above what it explains."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from tunelab.datasets.sources.flaws import counted
from tunelab.service.drafts.columns import Role
from tunelab.service.drafts.draft import Draft, Reasoned
from tunelab.spec.yaml_writer import flow

_WIDTH = 100
_MOST_REASONS = 5


def page(draft: Draft, *, name: str, path: str, file_name: str) -> str:
    """The study file.

    Args:
        draft: What it says.
        name: The study's name.
        path: The file of data, as the study file names it.
        file_name: The study file, as commands name it.
    """
    return "".join(f"{line}\n" for line in _lines(draft, name, path, file_name))


def _lines(draft: Draft, name: str, path: str, file_name: str) -> Iterator[str]:
    size = f"{counted(draft.n_rows, 'row')} of {counted(draft.n_columns, 'column')}"
    opening = (
        f"Written by `tunelab init` from {size}. Every line may be changed, and what is left out "
        "has a default."
    )
    yield from _comment(opening)
    yield f"#   tunelab study validate {file_name}"
    yield f"#   tunelab study start {file_name}"
    yield f"name: {flow(name)}"
    yield ""
    yield from _entry("task", draft.task)
    yield ""
    yield "data:"
    yield from _data(draft, path)
    yield ""
    yield from _comment(draft.metric.why)
    yield f"objective: {flow({'metric': draft.metric.value})}"
    yield ""
    yield from _comment(draft.search.why)
    yield f"search: {flow(draft.search.value)}"
    yield ""
    yield from _comment(
        "What is searched: {low, high} is a range, a list a choice, a single value fixed. "
        "`tunelab optimizers` and `tunelab schedules` tell what else there is."
    )
    yield "space:"
    for key, reasoned in draft.space.items():
        yield from _entry(key, reasoned, "  ")
    yield ""
    yield from _comment(draft.preset.why)
    yield f"monitor: {flow({'preset': draft.preset.value})}"


def _data(draft: Draft, path: str) -> Iterator[str]:
    section = draft.data(path)
    roles = {role.name: role for role in draft.roles}
    for key, value in section.items():
        if key == "path":
            yield f"  path: {flow(value)}  # counts from this file's folder"
        elif key == "target":
            yield from _target(value)
            yield from _notes(draft.notes)
        elif key == "drop":
            yield from _columns(key, "Left out:", [roles[name] for name in value])
        elif key == "keep":
            yield from _comment(_why_only(draft), "  ")
            yield "  keep:"
            yield from (f"    - {flow(name)}" for name in value)
        elif key == "categorical":
            heading = "Numbers that are names, and become one input a value:"
            yield from _columns(key, heading, [roles[name] for name in value])
        elif key == "missing":
            yield from _entry(key, draft.missing, "  ")
        else:
            yield f"  {key}: {flow(value)}"
    yield from _comment(draft.split.why, "  ")
    yield f"  split: {flow(draft.split.value)}"
    for when, other in draft.other_splits:
        yield from _comment(when, "  ")
        yield f"  # split: {flow(other)}"


def _why_only(draft: Draft) -> str:
    """Why the columns that a file does not keep are left out."""
    dropped = draft.columns("drop")
    reasons = Counter(role.reason for role in dropped).most_common(_MOST_REASONS)
    listed = "; ".join(f"{reason} ({counted(n, 'column')})" for reason, n in reasons)
    return f"All that is read; {counted(len(dropped), 'column')} are left out, such as: {listed}."


def _target(value: str | Sequence[str]) -> Iterator[str]:
    line = f"  target: {flow(value)}"
    if isinstance(value, str) or len(line) <= _WIDTH:
        yield line
        return
    yield "  target:"
    for name in value:
        yield f"    - {flow(name)}"


def _notes(notes: Sequence[str]) -> Iterator[str]:
    if not notes:
        return
    yield "  # Worth a look:"
    for note in notes:
        yield from _wrapped(note, "  # - ", "  #   ")


def _columns(key: str, heading: str, roles: Sequence[Role]) -> Iterator[str]:
    """A list of columns, each with its reason behind it, or above where there is no place."""
    yield from _comment(heading, "  ")
    yield f"  {key}:"
    for role in roles:
        line = f"    - {flow(role.name)}"
        remark = f"  # {_plain(role.reason)}"
        if len(line) + len(remark) > _WIDTH:
            yield from _comment(role.reason, "    ")
            yield line
        else:
            yield line + remark


def _entry(key: str, reasoned: Reasoned, indent: str = "") -> Iterator[str]:
    yield from _comment(reasoned.why, indent)
    yield f"{indent}{key}: {flow(reasoned.value)}"


def _comment(text: str, indent: str = "") -> list[str]:
    return _wrapped(text, f"{indent}# ", f"{indent}# ")


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        _plain(text),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(text: str) -> str:
    """Names in reasons have been made printable; nothing else may end a comment's line either."""
    return text if text.isprintable() else repr(text)[1:-1]
