"""The section ``confirm``: what is trained again on fresh seeds when the search has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from tunelab.spec.part import Part
from tunelab.spec.rules import Number, RefusedError, Switch

MOST = 20  # finalists, and seeds of each


def _flag(given: object) -> bool:
    return Switch().check(given) == "on"


class ConfirmSpec(Part):
    """The confirm stage: the finalists and the default configuration on fresh seeds.

    Attributes:
        finalists: How many of the best configurations are trained again, beside the default one.
        seeds: How often each of them is.
        enabled: Whether there is such a stage.
    """

    finalists: Annotated[int, BeforeValidator(Number("int", 1, MOST).check)] = 3
    seeds: Annotated[int, BeforeValidator(Number("int", 1, MOST).check)] = 3
    enabled: Annotated[bool, BeforeValidator(_flag)] = True

    @property
    def most_runs(self) -> int:
        """How many runs the stage has at most: the default configuration may be a finalist."""
        return (self.finalists + 1) * self.seeds if self.enabled else 0


def read_confirm(given: object) -> Any:
    """The section as a mapping; ``confirm: off`` is short for ``enabled: off``.

    Raises:
        RefusedError: If it is neither a mapping nor a switch.
    """
    if isinstance(given, ConfirmSpec | Mapping):
        return given
    try:
        return {"enabled": _flag(given)}
    except RefusedError:
        keys = " ".join(ConfirmSpec.known_keys())
        raise RefusedError(f"must be off, or a mapping with the keys {keys}") from None
