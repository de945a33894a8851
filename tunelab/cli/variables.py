"""Variables ``TUNELAB_*`` that mean nothing are named, for nobody else would notice."""

from __future__ import annotations

import os

from tunelab.cli.console import tell

PREFIX = "TUNELAB_"
# Besides those of the study file's section search.
_OTHERS = (
    "DATABASE_URL",
    "DATABASE_PASSWORD_FILE",
    "DATA_STORE",
    "DATA_CACHE",
    "MIRROR",
    "TEST_DATABASE_URL",
)


def name_misspelt_variables() -> None:
    """Warn of each variable that looks like one of tunelab's and is none."""
    words = {name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX)}
    unknown = words.difference(_OTHERS)
    if not unknown:
        return
    from tunelab.errors import nearest  # loaded only where there is something to compare
    from tunelab.spec.overrides import variable_names

    known = [*(name.removeprefix(PREFIX) for name in variable_names()), *_OTHERS]
    for word in sorted(unknown.difference(known)):
        meant = nearest(word, known)
        if meant is not None:
            tell(f"warning: {PREFIX}{word} is no setting; did you mean {PREFIX}{meant}?")
