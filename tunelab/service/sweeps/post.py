"""One POST with a limit on its whole duration, whatever the other side does.

A socket's own time-out counts from byte to byte, and the search for a host's address has none. So
the POST is made in a thread of its own, which is waited for as long as the limit says. Then its
connection is cut, and the thread ends by itself.

No proxy is used, whatever the environment says, and no redirect is followed: what is sent goes to
the host that was named, or nowhere.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from tunelab import __version__
from tunelab.errors import TunelabError


class PostError(TunelabError):
    """A POST was refused, or did not come through."""


def post(url: str, document: bytes, timeout_seconds: float) -> None:
    """Send a JSON document; return when a status of 200 to 299 has come.

    The body of the answer is not read.

    Args:
        url: An http or https URL without user and password.
        document: The body.
        timeout_seconds: For everything: address, connection, TLS, sending, answer.

    Raises:
        PostError: If there is another answer, or none in time. The message holds nothing of the
            URL and nothing of what the other side said: both may tell a secret.
    """
    attempt = _Post(url, document, timeout_seconds)
    thread = threading.Thread(target=attempt.run, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        attempt.give_up()
        raise PostError(f"no answer within {timeout_seconds:g} s")
    if attempt.problem is not None:
        raise PostError(attempt.problem)


def place_of(url: str) -> str:
    """The URL as it may be shown: its path and query may hold a token.

    >>> place_of("https://hooks.example.org:8443/T0001/secret?key=secret")
    'https://hooks.example.org:8443'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _GivenUpError(Exception):
    """Nobody waits any more."""


class _Post:
    """One POST and what became of it."""

    def __init__(self, url: str, document: bytes, timeout_seconds: float) -> None:
        self._url = urlsplit(url)
        self._document = document
        self._timeout = timeout_seconds
        self._given_up = threading.Event()
        self._socket: socket.socket | None = None
        self.problem: str | None = None

    def run(self) -> None:
        try:
            status = self._send()
        except TimeoutError:
            self.problem = f"no answer within {self._timeout:g} s"
        except OSError as error:  # errors of TLS and of looking up names are some, too
            self.problem = error.strerror or str(error)
        except HTTPException:
            self.problem = "its answer is not HTTP"
        except ValueError:
            self.problem = "no host can have this name"
        except _GivenUpError:
            pass
        else:
            if not 200 <= status < 300:
                more = "; redirects are not followed" if 300 <= status < 400 else ""
                self.problem = f"it answered {status}{more}"
        finally:
            if self._socket is not None:
                self._socket.close()

    def give_up(self) -> None:
        """Cut the connection: whatever the thread waits for ends."""
        self._given_up.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not a TLS socket's own method, whose state belongs to the other thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _send(self) -> int:
        """Send the document and return the status of the answer."""
        host, secure = self._url.hostname or "", self._url.scheme == "https"
        port = self._url.port or (443 if secure else 80)
        connected = self._use(socket.create_connection((host, port), self._timeout))
        connection = HTTPConnection(host, port)
        if secure:
            context = ssl.create_default_context()
            connection = HTTPSConnection(host, port, context=context)
            # The handshake comes later: it has to happen on a socket that can be cut.
            wrapped = context.wrap_socket(
                connected, server_hostname=host, do_handshake_on_connect=False
            )
            connected = self._use(wrapped)
            wrapped.do_handshake()
        connection.sock = connected
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"tunelab/{__version__}",
            "Connection": "close",
        }
        with contextlib.closing(connection):
            connection.request("POST", target, self._document, headers)
            return connection.getresponse().status

    def _use(self, connected: socket.socket) -> socket.socket:
        """Let :meth:`give_up` cut this socket."""
        self._socket = connected
        if self._given_up.is_set():
            raise _GivenUpError
        return connected
