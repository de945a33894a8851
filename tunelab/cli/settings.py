"""What goes before a study file: TUNELAB_* variables, then ``--set``, then an option of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tunelab.cli.console import tell
from tunelab.errors import nearest
from tunelab.spec.overrides import (
    VARIABLE_PREFIX,
    Override,
    assignments,
    option,
    variable_names,
    variables,
)

_OTHER_VARIABLES = (
    "TUNELAB_DATABASE_URL",
    "TUNELAB_DATABASE_PASSWORD_FILE",
    "TUNELAB_DATA_STORE",
    "TUNELAB_DATA_CACHE",
    "TUNELAB_MIRROR",
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
    _name_misspelt_variables()
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


def _name_misspelt_variables() -> None:
    """A variable that means nothing is ignored by everybody, which nobody notices."""
    known = [name.removeprefix(VARIABLE_PREFIX) for name in (*variable_names(), *_OTHER_VARIABLES)]
    for name in sorted(os.environ):
        word = name.removeprefix(VARIABLE_PREFIX)
        meant = None if word in (name, *known) else nearest(word, known)
        if meant is not None:
            tell(f"warning: {name} is no setting; did you mean {VARIABLE_PREFIX}{meant}?")
