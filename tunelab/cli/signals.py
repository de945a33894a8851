"""Ctrl-C and SIGTERM: once to leave in order, twice to leave at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

_SHOW_CURSOR = b"\x1b[?25h\n"


@contextlib.contextmanager
def two_step_signals(
    request: Callable[[int], None], *, cursor_hidden: Callable[[], bool]
) -> Iterator[None]:
    """Handle SIGINT and SIGTERM in the block; their handlers come back behind it.

    Both are installed in any case: a shell starts background jobs with SIGINT ignored, and for
    the first process of a container both are.

    Args:
        request: Called with the first signal's number.
        cursor_hidden: Whether a live display hides the cursor, which a sudden exit has to undo.
    """
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            if cursor_hidden():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(128 + number)
        asked = True
        request(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: a handler that Python did not install and cannot bring back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
