"""What goes before a study file: TUNELAB_* variables, then ``--set``, then an option of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tunelab.spec.overrides import (
    Override,
    assignments,
    option,
    variables,
)


def gathered(
    assigned: Iterable[str] | None,
    *,
    n_trials: int | None = None,
    timeout: float | None = None,
    n_workers: int | None = None,
) -> list[Override]:
    """All settings, the later ones before the earlier.

    Args:
        assigned: What ``--set`` was given, ``KEY=VALUE`` each.
        n_trials: What ``--trials`` was given.
        timeout: What ``--timeout`` was given, in seconds.
        n_workers: What ``--workers`` was given.

    Raises:
        StudyFileError: If one cannot be read.
    """
    flags = {"trials": n_trials, "timeout": timeout, "workers": n_workers}
    return [
        *variables(os.environ),
        *assignments(assigned or ()),
        *(
            option(("search", key), value, f"--{key}")
            for key, value in flags.items()
            if value is not None
        ),
    ]
