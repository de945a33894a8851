"""Ctrl-C and SIGTERM: once to leave in order, twice to leave at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def two_step_signals(
    request: Callable[[int], None], *, before_exit: Callable[[], None]
) -> Iterator[None]:
    """Handle SIGINT and SIGTERM in the block; their handlers come back behind it.

    Both are installed in any case: a shell starts background jobs with SIGINT ignored, and for
    the first process of a container both are.

    Args:
        request: Called with the first signal's number.
        before_exit: Called with the second one, before the process ends there and then.
    """
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            before_exit()
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


@contextlib.contextmanager
def tidy_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as an exception does, so that what is temporary goes away."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
