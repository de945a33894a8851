"""Child processes: workers, and the mirror.

A child takes one order, the end of its standard input: finish what must be finished, and leave. So
none outlives the process that started it, however that process ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from tunelab.storage.engine import Database
from tunelab.storage.location import DATABASE_URL_VARIABLE

# One BLAS thread a worker, parallelism by processes; read when NumPy is loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")
_REST_SECONDS = 1.0  # for the last lines of a child that is gone


class Child:
    """A child process of ``python -m MODULE``, and what it says.

    Args:
        module: The module to run.
        arguments: Its arguments; never a secret.
        database: Told to the child by its environment.
        log: File that gets its output; None: it is kept for :meth:`new_lines`.
        goes_on: Whether the log goes on with what another child has written.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        database: Database,
        log: Path | None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.log = log
        self.started = time.monotonic()
        self._lines: list[str] = []
        url = database.url.render_as_string(hide_password=False)
        mode = "ab" if goes_on else "wb"
        opened = contextlib.nullcontext(None) if log is None else _opened(log, mode)
        with opened as output, _interrupts_blocked():
            self._read = 0 if output is None else output.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if output is None else output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **_ONE_THREAD, DATABASE_URL_VARIABLE: url},
            )
        self._listener: threading.Thread | None = None
        if log is None:
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self._lines.append(line.decode(errors="replace").rstrip("\r\n"))

    def new_lines(self) -> list[str]:
        """The whole lines that the child has written since the last call."""
        if self.log is None:
            if self.process.poll() is not None and self._listener is not None:
                self._listener.join(_REST_SECONDS)
            said = len(self._lines)
            lines, self._lines[:said] = self._lines[:said], []
            return lines
        try:
            with self.log.open("rb") as log:
                log.seek(self._read)
                whole, _, _ = log.read().rpartition(b"\n")
        except OSError:
            return []  # a log that was deleted decides nothing
        self._read += len(whole) + 1 if whole else 0
        return whole.decode(errors="replace").splitlines()

    def order_to_leave(self) -> None:
        """Tell the child to finish and leave."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def wait(self, deadline: float) -> None:
        """Wait until the child is gone or ``deadline`` (monotonic) has passed; then kill it."""
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def close(self) -> None:
        """Let go of a child that has ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def kill(self) -> None:
        """End the child at once."""
        self.process.kill()
        self.process.wait()


def _opened(log: Path, mode: str) -> IO[bytes]:
    """The log file, or a place without bottom where none can be written."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cast("IO[bytes]", log.open(mode))
    except OSError:
        return Path(os.devnull).open("wb")


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Have a child start with SIGINT blocked: Ctrl-C reaches it too, before it can ignore it.

    This process gets an interrupt that comes meanwhile when the block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
