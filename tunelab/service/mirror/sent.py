"""What the study's own run has been sent, as ``mirror_runs.sent`` keeps it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Sent:
    """Of the study's own run: what it shows, so that only changes are sent."""

    state: str = ""
    ended: float | None = None  # a study that is stopped twice ends twice
    finished: int = -1
    best: int | None = None
    note: str = ""  # fingerprint of the description
    study_file: str = ""
    pictures: tuple[int, ...] = ()  # keys of the trials whose curves were drawn
    files: str = ""  # fingerprint of what the study's files were made of
    views: bool = False  # whether the experiment has the saved views
    confirmed: str = ""  # fingerprint of what the confirm stage came to
    sweep: str = ""  # of the tags that its experiment has of a sweep
    model: str = ""  # checksum of the model that the registry has

    def to_text(self) -> str:
        """As it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Sent:
        """The inverse of `to_text`; anything else counts as nothing sent."""
        try:
            found = json.loads(text)
            return cls(**{**found, "pictures": tuple(found["pictures"])})
        except (ValueError, TypeError, KeyError):
            return cls()
