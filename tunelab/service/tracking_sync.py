"""Compare MLflow with the study database, repair it, or remove studies, in a process of its own.

MLflow takes seconds and hundreds of megabytes to load; the program that asks stays light, and
can leave at once however long MLflow keeps a request waiting.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from tunelab.errors import DatabaseError, TrackingError, TunelabError
from tunelab.service.mirror.sync import Action
from tunelab.storage.engine import Database
from tunelab.storage.location import DATABASE_URL_VARIABLE

_LEAVE_SECONDS = 2.0
_ERRORS = {kind.__name__: kind for kind in (DatabaseError, TrackingError)}


@dataclass(frozen=True)
class Compared:
    """What became of one study.

    Attributes:
        study: Name and generation, ``digits #7``.
        differences: Counts by kind, as :class:`tunelab.service.mirror.comparison.Differences`
            has them; all 0 where MLflow agrees.
        removed: How many runs were removed.
        waiting: Whether another process mirrors it and is being waited for.
        busy: Whether another process mirrors it, so that it was not looked at.
        holder: That process.
        warnings: What MLflow did not take and is done without.
    """

    study: str
    differences: dict[str, int] = field(default_factory=dict)
    removed: int = 0
    waiting: bool = False
    busy: bool = False
    holder: str | None = None
    warnings: Sequence[str] = ()

    @property
    def agrees(self) -> bool:
        """Whether MLflow was found to show what the study database has."""
        return not (self.waiting or self.busy or any(self.differences.values()))


def synchronize(
    database: Database, action: Action, study_ids: Sequence[int] = ()
) -> Generator[Compared, None, None]:
    """Compare studies with MLflow, repair or remove what it shows of them, one after the other.

    Args:
        database: The study database.
        action: What to do. A mere comparison looks at the latest point of each curve alone, and
            does not wait for a study that is being mirrored.
        study_ids: Which studies; none: all, the oldest first.

    Yields:
        A result for each study, and before it one with ``waiting`` where that takes time.

    Raises:
        TrackingError: If MLflow cannot be reached.
        DatabaseError: If the study database cannot be read or written.
    """
    command = [sys.executable, "-m", "tunelab.service.mirror.sync", action]
    command += [word for key in study_ids for word in ("--study", str(key))]
    url = database.url.render_as_string(hide_password=False)
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            env={**os.environ, DATABASE_URL_VARIABLE: url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        try:
            for line in process.stdout or ():
                answer = json.loads(line)
                if "error" in answer:
                    raise _ERRORS.get(answer["kind"], TunelabError)(
                        answer["error"], hint=answer["hint"]
                    )
                yield Compared(**answer)
            process.wait()
        finally:
            _end(process)
        if process.returncode:
            complaints.seek(0)
            last = (complaints.read().splitlines() or [f"exit code {process.returncode}"])[-1]
            raise TunelabError(f"the comparison with MLflow broke off: {last}")


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:  # a request that hangs; what it has sent stays
        process.kill()
        process.wait()
