"""What a study's confirm stage came to, as it is stored with the study.

`tunelab.tuning.confirmation` draws it from the confirm runs. Whoever reads it needs neither their
rows nor NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Finalist:
    """One configuration that was trained on fresh seeds.

    Attributes:
        number: Of the search's trial.
        mean: Of the objective over the seeds; None if no run has completed.
        half_width: Of the mean's 95 % interval; None where it cannot be told.
        n_scores: How many of its runs have completed.
        is_tied: Whether it cannot be told from the one with the best mean.
        n_weights: Size of its network, biases included; None if it is not known.
    """

    number: int
    mean: float | None
    half_width: float | None
    n_scores: int
    is_tied: bool
    n_weights: int | None


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say about the finalists.

    Attributes:
        ranked: The finalists by their means, the best first.
        n_seeds: How often each was trained.
        new_splits: How many of the seeds had a split of the data of their own.
        pick: The trial that wins: of those tied for the first place the smallest network; None if
            no finalist completed with every seed.
        champion: Number of the pick's confirm run with the median score.
        best: The search's best trial.
        best_value: What the search had found of it.
        optimism: By how much that was better than its mean over fresh seeds; None if unknown.
        default: The default configuration's trial; None where none was trained again.
        default_margin: By how much the pick's mean is better than the default configuration's.
        beats_default: Whether that is beyond chance; None if the two cannot be compared.
        at: When it was concluded.
        least_margin: The least difference of two means that is beyond chance, seed by seed; None if
            unknown.
    """

    ranked: tuple[Finalist, ...]
    n_seeds: int
    new_splits: int
    pick: int | None
    champion: int | None
    best: int
    best_value: float
    optimism: float | None
    default: int | None
    default_margin: float | None
    beats_default: bool | None
    at: float
    least_margin: float | None = None

    @property
    def tied(self) -> tuple[int, ...]:
        """The trials that are tied with the pick, in order of their numbers."""
        numbers = (entry.number for entry in self.ranked if entry.is_tied)
        return tuple(sorted(number for number in numbers if number != self.pick))

    @property
    def has_winner(self) -> bool:
        """Whether at least one other finalist is worse beyond chance."""
        whole = [entry for entry in self.ranked if entry.n_scores == self.n_seeds]
        return any(not entry.is_tied for entry in whole)

    def of(self, number: int | None) -> Finalist | None:
        """The finalist that stands for a trial; None if it is none."""
        return next((entry for entry in self.ranked if entry.number == number), None)

    @property
    def tie_sentence(self) -> str:
        """Who is tied with the winner, always one sentence."""
        return f"Tied with the winner: {_trials(self.tied) or 'none'}"

    @property
    def winner_sentence(self) -> str:
        """What the win is worth."""
        n = len(self.ranked)
        if self.pick is None:
            return "No winner: none of the finalists completed with every seed"
        if n > 1 and not self.has_winner:
            return f"No real winner: no difference between the {n} finalists is beyond chance"
        if self.pick == self.default:
            return "No real winner: nothing is better than the default configuration beyond chance"
        if self.beats_default is None or self.default_margin is None:
            return f"Winner: trial {self.pick}"
        if not self.beats_default:
            return (
                f"Winner: trial {self.pick}, but it is not better than the default configuration "
                "beyond chance"
            )
        return (
            f"Winner: trial {self.pick}, better than the default configuration by "
            f"{self._against_chance(self.default_margin)} seed by seed, beyond chance"
        )

    def _against_chance(self, margin: float) -> str:
        """A difference of means beside what chance makes, to two digits of the latter."""
        least = self.least_margin
        if not least:
            return f"{margin:.4g}"
        places = max(0, 1 - math.floor(math.log10(least)))
        return f"{margin:.{places}f} ± {least:.{places}f}"

    @property
    def optimism_sentence(self) -> str:
        """What the search's own number was worth."""
        entry = self.of(self.best)
        if self.optimism is None or entry is None or entry.mean is None:
            return "Optimism: unknown, as the search's best trial did not complete with every seed"
        return (
            f"Optimism: {self.optimism:.4g}, the search's {self.best_value:.4g} for trial "
            f"{self.best} against {entry.mean:.4g} over fresh seeds"
        )

    @property
    def sentences(self) -> list[str]:
        """All that is to be said, in order."""
        return [self.winner_sentence, self.tie_sentence, self.optimism_sentence]

    def to_json(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return {
            **asdict(self),
            "ranked": [asdict(entry) for entry in self.ranked],
            "tied": list(self.tied),
            "has_winner": self.has_winner,
            "sentences": self.sentences,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Confirmation:
        """The inverse of `to_json`."""
        own = {name: document[name] for name in cls.__dataclass_fields__ if name in document}
        own["ranked"] = tuple(Finalist(**entry) for entry in document["ranked"])
        return cls(**own)

    def equals(self, other: Confirmation | None) -> bool:
        """Whether the two say the same, at whatever time."""
        return other is not None and replace(other, at=self.at) == self


def _trials(numbers: Sequence[int]) -> str:
    """The trials in words.

    >>> _trials([12]), _trials([12, 31])
    ('trial 12', 'trials 12, 31')
    """
    if not numbers:
        return ""
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
