"""Which part of a learning curve a picture shades."""

from __future__ import annotations

from collections.abc import Sequence

from tunelab.storage.trials import EpochRow

_WIDEN = 0.05  # a gap that grew by this share of the validation loss counts as open


def overfitting_region(
    curve: Sequence[EpochRow], best_epoch: int | None, onset: int | None
) -> tuple[int, str] | None:
    """The epoch from which the picture is shaded, and what the legend says about it.

    The monitor's onset counts where it saw one. Otherwise the epochs after the best one are
    shaded if the validation loss rose while the training loss fell, that is if the gap between
    them widened by more than 5 % of the validation loss until the last epoch.
    """
    if not curve:
        return None
    last = curve[-1]
    if onset is not None:
        return (onset, f"overfitting (monitor: from epoch {onset})") if onset < last.epoch else None
    best = next((row for row in curve if row.epoch == best_epoch), None)
    if best is None or best.epoch >= last.epoch:
        return None
    values = (best.train_loss, best.validation_loss, last.train_loss, last.validation_loss)
    if any(value is None for value in values):
        return None
    train_0, validation_0, train_1, validation_1 = (float(value or 0.0) for value in values)
    widened = (validation_1 - train_1) - (validation_0 - train_0) > _WIDEN * abs(validation_0)
    if widened and validation_1 > validation_0 and train_1 < train_0:
        return best.epoch, "past the best epoch, with a widening gap"
    return None
