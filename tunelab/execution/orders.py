"""The one order that a child process takes: finish what must be finished, and leave.

It is the end of the standard input, which comes also when the parent dies: so no child outlives it.
SIGTERM says the same. Ctrl-C reaches the whole process group; the parent decides what it means.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable


def obey(leave: Callable[[], None], *, hard_seconds: float | None = None) -> None:
    """Have ``leave`` called, in a thread of its own, when the order comes.

    Args:
        leave: Must return at once and bear to be called twice.
        hard_seconds: When the process ends by itself after the end of the input, whatever it is
            doing: in a call that never returns no flag is read, and the one who would end this
            process may be gone. None: it sees to that itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, ask = os.pipe()

    def await_signal() -> None:
        while os.read(asked, 1):
            leave()

    def await_end() -> None:
        # Not through sys.stdin: its lock would still be held when the interpreter shuts down.
        while os.read(0, 1024):
            pass
        leave()
        if hard_seconds is not None:
            time.sleep(hard_seconds)
            os._exit(1)

    for wait in (await_signal, await_end):
        threading.Thread(target=wait, daemon=True).start()
    # The handler itself may interrupt the very wait whose lock ``leave`` needs, or a trial that
    # has used up the memory that it may have: it does no more than this.
    signal.signal(signal.SIGTERM, lambda *_: os.write(ask, b"!"))
