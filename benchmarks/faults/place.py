"""Where experiments run: fresh working directories, and databases of one kind."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.postgresql import Databases, Server
from tests.service.conftest import Folder

Experiment = Callable[["Place", int], str]

STUDY = """\
name: small
task: classification
data: {source: sklearn, name: DATA}
search: {sampler: SAMPLER, trials: TRIALS, max_epochs: EPOCHS, seed: 3}
confirm: off
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

    def path(self) -> Path:
        """A new, empty folder."""
        self._n_folders += 1
        path = self._root / f"{self.kind}-{self._n_folders}"
        path.mkdir()
        return path

    def folder(
        self,
        n_trials: int,
        *,
        sampler: str = "random",
        max_epochs: int = 40,
        data: str = "digits",
        mirrored: bool = False,
        path: Path | None = None,
    ) -> Folder:
        """A working directory with a study file, at ``path`` if that is given."""
        folder = Folder(path or self.path())
        if self._databases is not None:
            folder.variables["TUNELAB_DATABASE_URL"] = self.url(folder.path)
        folder.variables["TUNELAB_MIRROR"] = "yes" if mirrored else "no"
        text = STUDY.replace("DATA", data).replace("SAMPLER", sampler)
        text = text.replace("TRIALS", str(n_trials)).replace("EPOCHS", str(max_epochs))
        folder.study_file.write_text(text)
        return folder


def listen(process: subprocess.Popen[str]) -> Future[tuple[str, str]]:
    """What the process will have said to its end: a full pipe would stop it."""
    pool = ThreadPoolExecutor(1)
    said = pool.submit(process.communicate)
    pool.shutdown(wait=False)
    return said


@contextlib.contextmanager
def places(kinds: list[str], settings: Mapping[str, object] | None = None) -> Iterator[list[Place]]:
    """A place for each kind of database; ``settings`` are those of the server."""
    root = Path(tempfile.mkdtemp(prefix="tunelab-faults-"))
    server = None
    try:
        if "postgresql" in kinds:
            (root / "server").mkdir()
            server = Server(root / "server", settings)
            server.start()
        yield [Place(kind, root, server if kind == "postgresql" else None) for kind in kinds]
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(root, ignore_errors=True)
