"""The folder of study files that a controller watches: each enabled sweep in it is taken up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from tunelab.errors import StudyConflictError, TunelabError
from tunelab.spec.study import StudySpec
from tunelab.spec.study_file import read_study_file
from tunelab.storage.engine import Database
from tunelab.storage.sweeps import SweepRow, all_sweeps, put_sweep, report_problem

_SUFFIXES = (".yaml", ".yml")
_Stamp = tuple[int, int, int]


class StudiesFolder:
    """Takes up the sweeps of a folder's study files.

    A file that was changed counts from the next slot on; one that cannot be used is told of once,
    and its sweep goes on as the file said before. A sweep that is switched off in its file starts
    nothing more. A file that is deleted leaves its sweep as it is, and so does a sweep that was
    removed leave its file: what was read is not read again until it is changed, or another
    controller starts.

    Args:
        database: The study database.
        folder: The folder; subfolders are not looked into.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder.absolute()
        self._seen: dict[Path, _Stamp] = {}
        self._missing = False

    def scan(self, now: float) -> list[str]:
        """Read what has changed since the last scan.

        Args:
            now: The present moment, by the database's clock.

        Returns:
            A sentence for each file that was taken up or cannot be used.

        Raises:
            DatabaseError: If the database fails.
        """
        said = []
        for path, stamp in self._changed():
            said += self._take_up(path, now)
            self._seen[path] = stamp  # behind it: an outage must not lose a file
        missing = not self._folder.is_dir()
        if missing and not self._missing:
            said.append(f"warning: the folder {self._folder} of study files is missing")
        self._missing = missing
        return said

    def _changed(self) -> Iterator[tuple[Path, _Stamp]]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix in _SUFFIXES)
        except OSError:
            return
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                continue
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._seen.get(path) != stamp:
                yield path, stamp

    def _take_up(self, path: Path, now: float) -> list[str]:
        file = str(path)
        before = self._database.fetch(all_sweeps)
        own = [sweep for sweep in before if sweep.study_file == file]
        try:
            spec = read_study_file(path).spec
            return self._put(spec, file, now, own)
        except TunelabError as error:
            if not isinstance(error, StudyConflictError) and error.exit_code != 2:
                raise  # not the file's fault
            return self._report(own, f"{path}: cannot be used", error.message)

    def _put(self, spec: StudySpec, file: str, now: float, own: list[SweepRow]) -> list[str]:
        known = next((sweep for sweep in own if sweep.name == spec.name), None)
        if spec.sweep is None or (known is None and not spec.sweep.enabled):
            if spec.sweep is None and own:
                return self._report(own, f"{file}: its sweep goes on", "it has no sweep any more")
            return []
        if known is not None and known.is_up_to_date(spec, file):
            return []

        def put(connection: Connection) -> SweepRow:
            return put_sweep(connection, spec, file, now=now)

        row = self._database.attempt(put)
        does = "added" if known is None else "changed"
        renamed = [sweep for sweep in own if sweep.name != spec.name]
        said = []
        if renamed:
            problem = f"the file is of the study {spec.name} now"
            said = self._report(renamed, f"{file}: has another name", problem)
        return [*said, f"sweep {row.name} was {does}: {row.sweep.expression} {row.sweep.timezone}"]

    def _report(self, own: list[SweepRow], what: str, problem: str) -> list[str]:
        def note(connection: Connection) -> None:
            for sweep in own:
                report_problem(connection, sweep.id, problem)

        if any(sweep.problem != problem for sweep in own):
            self._database.attempt(note)
        kept = f"; {', '.join(s.name for s in own)} goes on as it was" if own else ""
        return [f"warning: {what}: {problem}{kept}"]
