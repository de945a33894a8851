"""Piecewise: any rates, from any epochs on; and the text that a study file writes them in."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from numbers import Integral, Real

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.checks import check_learning_rate

_PAIR = re.compile(r"\s*([0-9]{1,9})\s*:\s*([-+.0-9eE]+)\s*")
_LONGEST_SHOWN = 60


def piecewise(initial: float, *, rates: str | Mapping[int, float]) -> Schedule:
    """Set the rate by hand: each of ``rates`` holds from its epoch on, until the next.

    With ``k`` epochs done before, and ``rates`` k_1: rate_1, k_2: rate_2, ...::

        rate(k) = initial     for k < k_1
        rate(k) = rate_i      for k_i <= k < k_(i+1)

    ``10:0.01`` makes epoch 11 (k = 10) the first to change. After a warm-up, k counts from the
    warm-up's end. The rates are absolute and may rise.

    Source: the custom schedule, a function from epoch to rate, of the lecture and of Keras'
    LearningRateScheduler. PyTorch's MultiStepLR has milestones at the same k, and one factor for
    all of them. Keras' PiecewiseConstantDecay changes one step later: at a boundary itself it
    still has the rate before.

    Args:
        initial: First rate, > 0.
        rates: Text such as ``"10:0.01, 20:0.001"``, or a mapping from k to rate. Each k is a
            whole number, at least 1, in text greater than the one before; each rate is > 0.

    Raises:
        ValueError: If an argument is out of range, or the text is not like the example.

    >>> rate = piecewise(0.1, rates="10:0.01, 20:0.001")
    >>> rate(9), rate(10), rate(19.5), rate(20), rate(99)
    (0.1, 0.01, 0.01, 0.001, 0.001)
    """
    check_learning_rate("piecewise", initial)
    try:
        table = parse_rates(rates)
    except ValueError as error:
        raise ValueError(f"piecewise: rates {error}") from None
    starts = list(table)
    values = [initial, *table.values()]
    return Schedule(lambda k: values[bisect_right(starts, k)])


def parse_rates(rates: str | Mapping[int, float]) -> dict[int, float]:
    """Rates by the k from which on they hold, in growing order of k.

    ::

        k: rate, k: rate, ...

    Args:
        rates: Text like that, or a mapping. Each k is a whole number of epochs done before, at
            least 1, and in text greater than the one before; each rate is > 0.

    Raises:
        ValueError: If it is anything else. The message begins with "must", for callers to put the
            setting's name in front.

    >>> parse_rates("10:0.01, 20:1e-3")
    {10: 0.01, 20: 0.001}
    """
    return _checked(_pairs(rates) if isinstance(rates, str) else rates)


def canonical_rates(rates: str | Mapping[int, float]) -> str:
    """The one text for all texts and mappings that mean the same rates.

    ::

        k: rate, k: rate, ...

    Args:
        rates: What :func:`parse_rates` takes.

    Raises:
        ValueError: As :func:`parse_rates`.

    >>> canonical_rates(" 010:.01,20 : 1E-3"), canonical_rates({20: 0.001, 10: 0.01})
    ('10: 0.01, 20: 0.001', '10: 0.01, 20: 0.001')
    """
    return ", ".join(f"{k}: {rate!r}" for k, rate in parse_rates(rates).items())


def _pairs(text: str) -> dict[int, float]:
    pairs: list[tuple[int, float]] = []
    for part in text.split(","):
        match = _PAIR.fullmatch(part)
        try:
            if match is None:
                raise ValueError
            pairs.append((int(match[1]), float(match[2])))
        except ValueError:
            raise ValueError(
                f"must be pairs of epochs and rate like '10:0.01, 20:0.001', got {_shown(text)}"
            ) from None
    for (before, _), (after, _) in pairwise(pairs):
        if after <= before:
            raise ValueError(
                f"must have each k greater than the one before, got {before} and then {after}"
            )
    return dict(pairs)


def _checked(table: Mapping[int, float]) -> dict[int, float]:
    """The table in growing order of k.

    Raises:
        ValueError: If it is empty, or a k or a rate is out of range.
    """
    if not isinstance(table, Mapping) or not table:
        raise ValueError(
            "must be text like '10:0.01, 20:0.001' or a mapping from epochs to rates, "
            f"got {_shown(table)}"
        )
    for k, rate in table.items():
        if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
            raise ValueError(f"must have whole numbers of epochs k, at least 1, got {_shown(k)}")
        is_number = isinstance(rate, Real) and not isinstance(rate, bool)
        if not is_number or not 0.0 < rate <= sys.float_info.max:
            raise ValueError(f"must have rates > 0 and finite, got {_shown(rate)} at k = {k}")
    return {int(k): float(table[k]) for k in sorted(table)}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
