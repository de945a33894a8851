"""Servers that hear of sweeps, each with manners of its own, in threads of the test's process."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket], None]
Heard = list[bytes]


def answers(status: int = 200, *headers: str) -> Talk:
    """Says one thing and hangs up."""

    def talk(connection: socket.socket) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", "Content-Length: 0", *headers]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())

    return talk


def silent(connection: socket.socket) -> None:
    """Waits until the other side has left."""
    with contextlib.suppress(OSError):
        while connection.recv(1000):
            pass


def drips(head: bytes) -> Talk:
    """Says ``head`` and goes on with a byte now and then, for as long as somebody listens."""

    def talk(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)

    return talk


def echoes(connection: socket.socket) -> None:
    """Says what no server says."""
    connection.sendall(b"POST /secret?token=secret is what you said\r\n\r\n")


class Receiver:
    """A server on this machine and all requests that it has heard."""

    def __init__(self, talk: Talk, *, listens: bool, tls: ssl.SSLContext | None) -> None:
        self._talk = talk
        self._tls = tls
        self._listens = listens
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/secret?token=secret"
        self.heard: Heard = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._hear, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _hear(self, connection: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(OSError))
            stack.enter_context(connection)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                stack.enter_context(connection)
            if self._listens:
                self.heard.append(_request(connection))
            self._talk(connection)

    def close(self) -> None:
        for opened in (self._server, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for thread in self._threads:
            thread.join(5)


def _request(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        if not (more := connection.recv(1000)):
            raise ConnectionError
        text += more
    head, _, body = text.partition(b"\r\n\r\n")
    (length,) = [
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Le")
    ]
    while len(body) < length:
        if not (more := connection.recv(1000)):
            raise ConnectionError
        body += more
    return head + b"\r\n\r\n" + body


@contextlib.contextmanager
def receiver(
    talk: Talk | None = None, *, listens: bool = True, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A server while the block lasts; one that does not listen talks at once."""
    made = Receiver(talk or answers(), listens=listens, tls=tls)
    try:
        yield made
    finally:
        made.close()
