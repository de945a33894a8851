"""``tunelab controller run``: from the open database to the exit code."""

from __future__ import annotations

import math
import time
from contextlib import closing
from pathlib import Path

from tunelab.cli.console import tell
from tunelab.cli.formats import clean, instant
from tunelab.cli.signals import two_step_signals
from tunelab.service.controller import control
from tunelab.service.stop import StopRequest
from tunelab.storage.location import database_url
from tunelab.storage.outages import Patience
from tunelab.storage.schema import open_database


def run_and_tell(studies: Path | None) -> int:
    """Run a controller until a signal, a line for everything that it does.

    Returns:
        The exit code.
    """
    stop = StopRequest()
    with closing(open_database(database_url())) as database:
        # A service waits for its database for as long as it takes.
        database.patience = Patience(math.inf, lambda: stop.signal is not None, _log)
        with two_step_signals(stop.request, before_exit=lambda: None):
            _log(f"controller started on {database}")
            with closing(control(database, studies, stop)) as said:
                for line in said:
                    if line is not None:
                        _log(line)
    _log("controller left; studies and sweeps go on with another one")
    return 128 + stop.signal if stop.signal is not None else 0


def _log(line: str) -> None:
    tell(f"{instant(time.time())} {clean(line)}")
