"""What an examination found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a thing stands."""

    OK = "ok"
    NOTE = "note"  # nothing is wrong, and somebody may want to know
    WRONG = "wrong"
    FIXED = "fixed"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        area: What it belongs to: ``database``, ``MLflow``.
        state: How it stands.
        message: What there is, or what is wrong.
        hint: What to do.
        fix: What repairs it, for what can be repaired; returns what was done, in words.
    """

    area: str
    state: State
    message: str
    hint: str | None = None
    fix: Callable[[], str] | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether something has to be done."""
        return self.state is State.WRONG

    def to_json(self) -> dict[str, str | None]:
        """The finding as a JSON object."""
        return {
            "area": self.area,
            "state": str(self.state),
            "message": self.message,
            "hint": self.hint,
        }


def ok(area: str, message: str) -> Finding:
    """A finding that all is well."""
    return Finding(area, State.OK, message)


def note(area: str, message: str, hint: str | None = None) -> Finding:
    """A finding that is nobody's fault."""
    return Finding(area, State.NOTE, message, hint)


def wrong(
    area: str, message: str, hint: str | None, fix: Callable[[], str] | None = None
) -> Finding:
    """A finding that something has to be done."""
    return Finding(area, State.WRONG, message, hint, fix)
