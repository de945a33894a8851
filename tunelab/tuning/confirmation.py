"""Who is picked, who is tied with the pick, and how optimistic the search was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunelab.spec.hyperparameters import Hyperparameters
from tunelab.storage.confirmed import Confirmation, Finalist
from tunelab.storage.trials import TrialRow
from tunelab.tuning.ranking import optimism, rank


def conclude(
    finalists: Sequence[TrialRow],
    runs: Mapping[int, Sequence[TrialRow]],
    sizes: Mapping[int, int],
    *,
    maximize: bool,
    default: int | None,
    sizes_known: bool = True,
    at: float = 0.0,
) -> Confirmation:
    """Draw the conclusion from confirm runs that have all ended.

    Args:
        finalists: The search's trials; the first is the search's best.
        runs: The runs of each finalist by its number, in the same order of seeds for all.
        sizes: How large each finalist's network is, by its number.
        maximize: Whether greater values are better.
        default: Which finalist is the default configuration; None if none is.
        sizes_known: Whether the sizes are numbers of weights, or only have their order.
        at: The present time.
    """
    scores = {number: [_score(run) for run in of_one] for number, of_one in runs.items()}
    ranking = rank(scores, maximize=maximize)
    n_seeds = max((len(of_one) for of_one in runs.values()), default=0)
    whole = [entry for entry in ranking if entry.n_scores == n_seeds]
    means = {entry.number: entry.mean for entry in whole}
    leading = [entry.number for entry in whole if entry.is_tied]
    sign = -1.0 if maximize else 1.0
    pick = min(leading, key=lambda n: (sizes[n], sign * means[n], n), default=None)
    best = finalists[0]
    best_value = best.value if best.value is not None else math.nan
    lead = beats = None
    least = next((entry.margin for entry in whole), math.nan)
    if pick is not None and default is not None and default in means and default != pick:
        lead = sign * (means[default] - means[pick])
        beats = lead > least
    any_runs = next(iter(runs.values()), ())
    return Confirmation(
        ranked=tuple(
            Finalist(
                number=entry.number,
                mean=_finite(entry.mean),
                half_width=_finite(entry.half_width),
                n_scores=entry.n_scores,
                is_tied=entry.is_tied,
                n_weights=sizes[entry.number] if sizes_known else None,
            )
            for entry in ranking
        ),
        n_seeds=n_seeds,
        new_splits=sum(run.data_digest is not None for run in any_runs),
        pick=pick,
        champion=None if pick is None else _median(runs[pick], maximize=maximize).number,
        best=best.number,
        best_value=best_value,
        optimism=optimism(best_value, means[best.number], maximize=maximize)
        if best.number in means
        else None,
        default=default,
        default_margin=lead,
        least_margin=_finite(least),
        beats_default=beats,
        at=at,
    )


def n_weights(hyperparameters: Mapping[str, Any], n_features: int, n_outputs: int) -> int:
    """Weights and biases of a configuration's network; under batch norm its scales as well.

    >>> flat = {"optimizer": "adam", "learning_rate": 0.1, "schedule": "constant", "layers": 1,
    ...         "units": 16, "activation": "relu", "dropout_rate": 0.0, "l2": 0.0, "batch_size": 32}
    >>> n_weights(flat, 64, 10)  # 65 * 16 + 17 * 10
    1210
    """
    configuration = Hyperparameters.from_flat(hyperparameters)
    n = 0
    n_inputs = n_features
    for width in configuration.widths(n_outputs):
        n += (n_inputs + 1 + configuration.batch_norm) * width
        n_inputs = width
    return n + (n_inputs + 1) * n_outputs


def _score(run: TrialRow) -> float | None:
    """What a run counts as; one that diverged or failed has none, however far it came."""
    complete = run.end_reason is not None and run.end_reason.is_complete
    return run.value if complete else None


def _median(runs: Sequence[TrialRow], *, maximize: bool) -> TrialRow:
    """The run with the median score; of an even number the worse of the two in the middle."""
    scored = [run for run in runs if _score(run) is not None]
    sign = -1.0 if maximize else 1.0
    scored.sort(key=lambda run: (sign * (run.value or 0.0), run.repeat))
    return scored[len(scored) // 2]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
