"""Where experiments run: fresh working directories, and databases of one kind."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.postgresql import Databases, Server
from tests.service.conftest import Folder

Experiment = Callable[["Place", int], str]

STUDY = """\
name: small
task: classification
data: {source: sklearn, name: digits}
search: {sampler: SAMPLER, trials: TRIALS, max_epochs: 40, seed: 3}
space:
  optimizer: [momentum, adam]
  schedule: [constant, cosine]
  layers: [1, 2]
  units: [32, 128]
  dropout_rate: [0.0, 0.2]
  learning_rate: [0.01]
  batch_size: 32
monitor: {preset: "off"}
"""


class Place:
    """Where experiments run: fresh folders, and databases of one kind."""

    def __init__(self, kind: str, root: Path, server: Server | None) -> None:
        self.kind = kind
        self.server = server
        self._root = root
        self._n_folders = 0
        self._databases = Databases(server.url("postgres")) if server else None

    def url(self, folder: Path) -> str:
        """A new, empty database."""
        if self._databases is not None:
            return self._databases.create()
        return f"sqlite:///{folder / 'tunelab.db'}"

    def folder(self, n_trials: int, *, sampler: str = "random", mirrored: bool = False) -> Folder:
        """A working directory with a study file."""
        self._n_folders += 1
        folder = Folder(self._root / f"{self.kind}-{self._n_folders}")
        if self._databases is not None:
            folder.variables["TUNELAB_DATABASE_URL"] = self.url(folder.path)
        folder.variables["TUNELAB_MIRROR"] = "yes" if mirrored else "no"
        text = STUDY.replace("TRIALS", str(n_trials)).replace("SAMPLER", sampler)
        folder.study_file.write_text(text)
        return folder


@contextlib.contextmanager
def places(kinds: list[str]) -> Iterator[list[Place]]:
    """A place for each kind of database."""
    root = Path(tempfile.mkdtemp(prefix="tunelab-faults-"))
    server = None
    try:
        if "postgresql" in kinds:
            (root / "server").mkdir()
            server = Server(root / "server")
            server.start()
        yield [Place(kind, root, server if kind == "postgresql" else None) for kind in kinds]
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
