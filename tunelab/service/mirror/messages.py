"""What is sent to MLflow, as plain values: nothing here knows MLflow's client."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]

STUDY_TAG = "tunelab.study"
CREATED_TAG = "tunelab.study_created"
GENERATION_TAG = "tunelab.generation"
TRIAL_TAG = "tunelab.trial"
CONFIRMS_TAG = "tunelab.confirms"  # of a confirm run, which is no trial of the search
REPEAT_TAG = "tunelab.repeat"
IDENTITY_TAG = "tunelab.trial_id"
KIND_TAG = "tunelab.kind"
VERDICT_TAG = "tunelab.verdict"
END_REASON_TAG = "tunelab.end_reason"
REASON_TAG = "tunelab.reason"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
COLOR_TAG = "mlflow.runColor"
BEST_COLOR = "#2e9d4f"  # green


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric.

    The time is always one that is stored with the study: MLflow keeps a point that is sent twice
    with the same time once, and one with another time twice.
    """

    key: str
    value: float
    timestamp: int  # milliseconds since 1970-01-01 UTC
    step: int


@dataclass
class Entries:
    """Everything that is logged to one run at once."""

    points: list[Point] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: float | None, timestamp: int, step: int = 0) -> None:
        """Add a point; a value that is missing or not finite is not sent."""
        if value is not None and math.isfinite(value):
            self.points.append(Point(key, float(value), timestamp, step))

    def batches(self, size: int = 1000) -> Iterable[tuple[Sequence[Point], Mapping[str, str]]]:
        """The points in groups that MLflow accepts together with the params, which come first."""
        first = size - len(self.params) - len(self.tags)
        yield self.points[:first], self.params
        for start in range(first, len(self.points), size):
            yield self.points[start : start + size], {}

    def __bool__(self) -> bool:
        return bool(self.points or self.params or self.tags)


def milliseconds(seconds: float) -> int:
    """MLflow's unit of time."""
    return round(seconds * 1000)


def param(value: Any) -> str:
    """A hyperparameter as text.

    >>> param(0.00123456), param(64), param("adam")
    ('0.001235', '64', 'adam')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)
