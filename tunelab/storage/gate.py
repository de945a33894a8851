"""How a study's model fared against the champion, as it is stored with the study.

`tunelab.service.champion` decides it. Whoever reads it needs neither the model nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["champion", "challenger", "not_compared"]


@dataclass(frozen=True)
class GateDecision:
    """What became of a study's model.

    Attributes:
        outcome: ``champion``: it holds the title now; ``challenger``: the champion before it keeps
            it; ``not_compared``: the two cannot be compared, so the champion keeps it too.
        sentence: Why, with the numbers.
        against: Generation of the champion that it was to be compared with; None if none was there.
        at: When it was decided.
        metric: What they were compared by.
        score: Of the new model on the test rows; None if it has none.
        champion_score: Of the champion, on the same rows.
        improvement: By how much the new one is better, positive where it is.
        interval: Its 95 % interval.
        n_rows: Test rows.
    """

    outcome: Outcome
    sentence: str
    against: int | None
    at: float
    metric: str
    score: float | None = None
    champion_score: float | None = None
    improvement: float | None = None
    interval: tuple[float, float] | None = None
    n_rows: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is stored and shown."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GateDecision:
        """The inverse of `to_json`."""
        own = {name: document[name] for name in cls.__dataclass_fields__}
        if own["interval"] is not None:
            lower, upper = own["interval"]
            own["interval"] = (lower, upper)
        return cls(**own)
