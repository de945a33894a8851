"""Learning rate schedules: a file a schedule, one dict of all that a study file may name."""

from tunelab.training.schedules.base import Schedule
from tunelab.training.schedules.catalogue import (
    SCHEDULES,
    default_settings,
    make_schedule,
    planned_rates,
)
from tunelab.training.schedules.piecewise import canonical_rates, parse_rates

__all__ = [
    "SCHEDULES",
    "Schedule",
    "canonical_rates",
    "default_settings",
    "make_schedule",
    "parse_rates",
    "planned_rates",
]
