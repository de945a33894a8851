"""One POST ends in time and tells no secret, whatever the other side does."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.service.receivers import answers, drips, echoes, receiver, silent
from tunelab.service.sweeps import post as module
from tunelab.service.sweeps.post import PostError, place_of, post

BODY = b'{"schema": 1}'
LIMIT = 0.5  # seconds


def refused(url, limit=LIMIT):
    """The cause, and how many seconds it took to come."""
    began = time.monotonic()
    with pytest.raises(PostError) as error:
        post(url, BODY, limit)
    assert "secret" not in str(error.value)
    return error.value.message, time.monotonic() - began


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_document_arrives_once_as_json_with_path_and_query(status):
    with receiver(answers(status)) as server:
        post(server.url, BODY, 5.0)
        (heard,) = server.heard
    head, _, body = heard.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /secret?token=secret HTTP/1.1"
    assert {"Content-Type: application/json", f"Host: 127.0.0.1:{server.port}"} <= set(lines)
    assert body == BODY


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_any_other_answer_is_a_refusal_and_is_not_asked_again(status):
    with receiver(answers(status)) as server:
        assert refused(server.url)[0] == f"it answered {status}"
        assert len(server.heard) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    with receiver() as elsewhere, receiver(answers(status, f"Location: {elsewhere.url}")) as server:
        assert refused(server.url)[0] == f"it answered {status}; redirects are not followed"
        assert (len(server.heard), elsewhere.heard) == (1, [])


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_used(name, monkeypatch):
    with receiver() as proxy, receiver() as server:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        post(server.url, BODY, 5.0)
        assert (len(server.heard), proxy.heard) == (1, [])


@pytest.mark.parametrize(
    "talk",
    [silent, drips(b""), drips(b"HTTP/1.1 200 OK\r\nX-Long: "), drips(b"HTTP/1.1 100 Go\r\n\r\n")],
    ids=["silent", "status", "header", "continue"],
)
def test_a_server_that_takes_its_time_is_left_when_the_time_is_over(talk):
    before = threading.active_count()
    with receiver(talk) as server:
        cause, seconds = refused(server.url)
    assert cause == "no answer within 0.5 s"
    assert LIMIT <= seconds < LIMIT + 0.4
    until = time.monotonic() + 2
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_body_that_drips_is_not_waited_for():
    with receiver(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as server:
        began = time.monotonic()
        post(server.url, BODY, 5.0)
        assert time.monotonic() - began < 1


@pytest.fixture
def certificate(tmp_path):
    """A certificate of its own for localhost, with its key, in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)
    return path


def test_tls_is_spoken_with_whom_a_known_authority_vouches_for(certificate, monkeypatch):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    with receiver(tls=tls) as server:
        url = f"https://localhost:{server.port}/secret"
        assert "certificate verify failed" in refused(url, limit=5.0)[0]
        assert server.heard == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        post(url, BODY, 5.0)
        assert len(server.heard) == 1


def test_tls_that_drips_is_left_when_the_time_is_over():
    # The head of a TLS record of 16 kB, which never comes.
    with receiver(drips(b"\x16\x03\x03\x40\x00"), listens=False) as server:
        cause, seconds = refused(server.url.replace("http:", "https:"))
    assert cause == "no answer within 0.5 s"
    assert seconds < LIMIT + 0.4


def test_a_name_whose_search_hangs_is_left_when_the_time_is_over(monkeypatch):
    asked, over = [], threading.Event()

    def search(*_, **__):
        asked.append(over.wait(10))
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(module.socket, "getaddrinfo", search)
    cause, seconds = refused("http://hooks.example.org/secret")
    assert (cause, seconds < LIMIT + 0.4) == ("no answer within 0.5 s", True)
    over.set()
    until = time.monotonic() + 2
    while not asked and time.monotonic() < until:
        time.sleep(0.01)
    assert asked == [True]


def test_an_address_that_is_found_too_late_is_sent_nothing(monkeypatch):
    genuine, over, connected = socket.create_connection, threading.Event(), threading.Event()

    def connect(*arguments):
        over.wait(10)
        found = genuine(*arguments)
        connected.set()
        return found

    monkeypatch.setattr(module.socket, "create_connection", connect)
    with receiver(silent) as server:
        refused(server.url)
        over.set()
        assert connected.wait(5)
        time.sleep(0.1)
        assert server.heard == []


def test_causes_are_told_in_words_without_what_the_other_side_said():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    assert refused(f"http://127.0.0.1:{free}/secret")[0] == "Connection refused"
    with receiver(echoes) as server:
        assert refused(server.url)[0] == "its answer is not HTTP"
    with receiver(lambda _: None) as server:
        assert "closed connection without" in refused(server.url)[0]
    with receiver(echoes, listens=False) as server:
        assert "SSL" in refused(server.url.replace("http:", "https:"))[0]
    assert refused("http://a..b/secret")[0] == "no host can have this name"


def test_a_place_is_shown_without_path_and_query():
    assert place_of("https://[::1]:8443/secret?token=secret#secret") == "https://[::1]:8443"
