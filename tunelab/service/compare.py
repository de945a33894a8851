"""Studies side by side: what they found, whether the difference is beyond chance, how they differ.

Two results are compared by the means of their picks over fresh seeds, never by the searches' own
best numbers: of many trials the luckiest always looks good. With half widths ``h_1`` and ``h_2`` of
the 95 % intervals, a difference counts where it exceeds ``sqrt(h_1**2 + h_2**2)``. Studies with one
root seed share the seeds and splits of their confirm stages, whose effect is then in both means
alike. These are compared seed by seed, as finalists of one study are (`tunelab.tuning.ranking`):
by ``sqrt((l_1**2 + l_2**2) / 2)`` of the least differences ``l_1`` and ``l_2`` that count in each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tunelab.errors import UsageError
from tunelab.service.resolved import values_in
from tunelab.service.summary import SCHEMA, StudySummary, effective_spec, summarize
from tunelab.spec.problems import dotted
from tunelab.spec.tables import LOSSES
from tunelab.storage.confirmed import Finalist
from tunelab.storage.states import EndReason
from tunelab.storage.studies import StudyRow, earlier_study, get_study
from tunelab.storage.trials import TrialRow, study_trials

_NOT_COMPARED = ("name", "description", "sweep", "data.path")  # they change no result


@dataclass(frozen=True)
class Difference:
    """One study against another.

    Attributes:
        reason: Why the two cannot be compared; None if they can.
        difference: The pick's mean less that of the other study's pick.
        half_width: Of the difference's 95 % interval.
        is_better: Whether the difference is for the better.
        by_seed: Whether the same seeds were compared one by one.
        same_question: Whether metric and data are the same, so that at least the searches' own
            numbers can stand side by side.
    """

    reason: str | None
    difference: float = math.nan
    half_width: float = math.nan
    is_better: bool = False
    by_seed: bool = False
    same_question: bool = True

    @property
    def within_noise(self) -> bool | None:
        """Whether chance alone may have made it; None where the two cannot be compared."""
        return None if self.reason else abs(self.difference) <= self.half_width

    def to_json(self) -> dict[str, Any]:
        """As ``study compare --json`` prints it."""
        known = self.reason is None
        return {
            "reason": self.reason,
            "difference": self.difference if known else None,
            "half_width": self.half_width if known else None,
            "within_noise": self.within_noise,
            "better": self.is_better if known else None,
            "by_seed": self.by_seed if known else None,
        }


@dataclass(frozen=True)
class Compared:
    """What is compared of one study.

    Attributes:
        summary: The study as a whole.
        result: The trial that counts: the pick of the confirm stage, else the search's best; None
            if no trial has completed.
        settings: Its resolved study file: dotted key -> value.
    """

    summary: StudySummary
    result: TrialRow | None
    settings: dict[str, Any]

    @property
    def pick(self) -> Finalist | None:
        """What the confirm stage says of its pick."""
        return pick_of(self.summary)

    def to_json(self) -> dict[str, Any]:
        """As ``study compare --json`` prints it."""
        result = self.result
        return {
            **self.summary.to_json(),
            "result": result
            and {"number": result.number, "hyperparameters": dict(result.hyperparameters)},
        }


@dataclass(frozen=True)
class Comparison:
    """Some studies; the first is what the others are held against."""

    studies: tuple[Compared, ...]

    @property
    def differences(self) -> list[Difference]:
        """Of each study but the first against the first."""
        first, *others = (study.summary for study in self.studies)
        return [difference(other, first) for other in others]

    @property
    def hyperparameters(self) -> list[str]:
        """Every hyperparameter that one of the results has."""
        names: dict[str, None] = {}
        for study in self.studies:
            names |= dict.fromkeys(study.result.hyperparameters if study.result else ())
        return list(names)

    @property
    def changed_settings(self) -> list[str]:
        """The keys of the study files whose values are not the same in all."""
        keys = dict.fromkeys(key for study in self.studies for key in study.settings)
        first, *others = (study.settings for study in self.studies)
        absent = object()
        return [
            key
            for key in keys
            if any(other.get(key, absent) != first.get(key, absent) for other in others)
        ]

    def to_json(self) -> dict[str, Any]:
        """The document of ``study compare --json``."""
        names = [study.summary.study.reference for study in self.studies]
        return {
            "schema": SCHEMA,
            "studies": [study.to_json() for study in self.studies],
            "differences": [
                {"study": name, "against": names[0], **found.to_json()}
                for name, found in zip(names[1:], self.differences, strict=True)
            ],
            "study_files": {
                key: [study.settings.get(key) for study in self.studies]
                for key in self.changed_settings
            },
        }


def compare_studies(connection: Connection, names: Sequence[str]) -> Comparison:
    """Read what is compared.

    Args:
        connection: A read transaction.
        names: The studies, ``digits`` or ``digits#7``; one alone is compared with the generation
            before it.

    Raises:
        NotFoundError: If there is no such study.
        UsageError: If one is named twice, or is alone and has no earlier generation.
    """
    studies = [get_study(connection, name) for name in names]
    if len(studies) == 1:
        (study,) = studies
        earlier = earlier_study(connection, study)
        if earlier is None:
            raise UsageError(
                f"{study.title} has no earlier generation to be compared with",
                hint=f"name another study: tunelab study compare {study.name} OTHER",
            )
        studies = [earlier, study]
    titles = [study.title for study in studies]
    twice = next((title for title in titles if titles.count(title) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice")
    return Comparison(tuple(_compared(connection, study) for study in studies))


def difference(summary: StudySummary, other: StudySummary) -> Difference:
    """How far apart the results of two studies are."""
    other_question = _other_question(summary, other)
    if other_question is not None:
        return Difference(other_question, same_question=False)
    mine, its = pick_of(summary), pick_of(other)
    if mine is None or its is None:
        return Difference(_unconfirmed(other if its is None else summary))
    if mine.mean is None or its.mean is None or mine.half_width is None or its.half_width is None:
        return Difference("one seed alone says nothing about chance")
    apart = mine.mean - its.mean
    sign = 1.0 if summary.spec.objective.direction == "maximize" else -1.0
    least = _of_shared_seeds(summary, other)
    half_width = math.hypot(mine.half_width, its.half_width) if least is None else least
    return Difference(
        None, apart, half_width, is_better=sign * apart > 0, by_seed=least is not None
    )


def _of_shared_seeds(summary: StudySummary, other: StudySummary) -> float | None:
    """The least difference that counts seed by seed; None where the seeds are not the same."""
    mine, its = summary.confirmation, other.confirmation
    if mine is None or its is None or not mine.least_margin or not its.least_margin:
        return None
    seeds = [
        (item.spec.search.seed, found.n_seeds, found.new_splits)
        for item, found in ((summary, mine), (other, its))
    ]
    if seeds[0] != seeds[1]:
        return None
    return math.hypot(mine.least_margin, its.least_margin) / math.sqrt(2.0)


def pick_of(summary: StudySummary) -> Finalist | None:
    """What the confirm stage says of its pick; None if there is none."""
    found = summary.confirmation
    return None if found is None else found.of(found.pick)


def _other_question(summary: StudySummary, other: StudySummary) -> str | None:
    """Why the numbers of two studies mean different things; None if they do not."""
    metrics = [item.spec.objective.metric for item in (summary, other)]
    if metrics[0] != metrics[1]:
        return f"the metrics differ: {metrics[0]} and {metrics[1]}"
    if summary.study.data_digest != other.study.data_digest:
        return "the data, or their split, differ"
    losses = [_loss(item) for item in (summary, other)]
    if metrics[0] == "validation_loss" and losses[0] != losses[1]:
        return f"the losses differ: {losses[0]} and {losses[1]}"
    return None


def _loss(summary: StudySummary) -> str:
    spec = summary.spec
    return spec.objective.loss or LOSSES[spec.task][0]


def _unconfirmed(summary: StudySummary) -> str:
    if summary.confirmation is None:
        return f"{summary.study.title} has no confirm stage behind it"
    return f"no finalist of {summary.study.title} completed with every seed"


def _compared(connection: Connection, study: StudyRow) -> Compared:
    summary = summarize(connection, study)
    result = summary.best
    found = summary.confirmation
    if found is not None and found.pick is not None:
        (result,) = study_trials(connection, study.id, numbers=[found.pick])
    mapping = effective_spec(study).to_mapping()
    settings = {}
    for place in values_in(mapping):
        key = dotted(place)
        if not any(key == name or key.startswith(f"{name}.") for name in _NOT_COMPARED):
            value: Any = mapping
            for part in place:
                value = value[part]
            settings[key] = value
    return Compared(summary, result, settings)


def end_counts(study: Compared) -> dict[str, int]:
    """How many trials ended for each reason."""
    return {str(reason): study.summary.counts[reason] for reason in EndReason}
