"""Keys typed while a picture stands on the terminal: their echo would shift it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any


class Keyboard:
    """The keyboard of a terminal; what is typed still goes to whoever reads it next.

    Args:
        stream: A stream that goes to the terminal.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._before: list[Any] | None = None

    def silence(self) -> None:
        """Show nothing of what is typed, until `restore`. Ctrl-C works as ever."""
        with _a_terminal():
            import termios

            terminal = self._stream.fileno()
            if self._before is None and _is_ours(terminal):
                before = termios.tcgetattr(terminal)
                silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
                termios.tcsetattr(terminal, termios.TCSANOW, silent)
                self._before = before

    def restore(self) -> None:
        """Show again what is typed."""
        before, self._before = self._before, None
        if before is not None:
            with _a_terminal():
                import termios

                terminal = self._stream.fileno()
                if _is_ours(terminal):
                    termios.tcsetattr(terminal, termios.TCSANOW, before)


def _is_ours(terminal: int) -> bool:
    """Whether this process is in the terminal's foreground: in the background it would be stopped.

    A shell that takes the terminal back sets it up for itself.
    """
    return os.tcgetpgrp(terminal) == os.getpgrp()


@contextlib.contextmanager
def _a_terminal() -> Iterator[None]:
    """Where the stream is no terminal, or none of this kind, nobody types there."""
    try:
        yield
    except (ImportError, AttributeError, OSError, ValueError):
        return
    except Exception as error:
        # termios.error is no OSError, and the module is missing elsewhere than on Unix.
        if type(error).__module__ != "termios":
            raise
