"""How long web may take, and how an end is told."""

from __future__ import annotations

import dataclasses
import datetime
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from paas.deploy.health import Subject, _answers, ending, timeout_seconds
from paas.engine.containers import ContainerState
from paas.model.release import WEB, Check, Manifest, Release


def release(config: dict[str, str]) -> Release:
    return Release(1, 1, "pending", 1, 0, "", None, None, "i", "t", config, Manifest({WEB: None}), {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1), ("120", 120), ("900", 900), ("901", 900), ("0", 1), ("999999999", 900)],
)
def test_the_timeout_is_taken_from_config_within_bounds(text: str, seconds: int) -> None:
    assert timeout_seconds(release({"RELEASE_HEALTHCHECK_TIMEOUT": text})) == seconds


@pytest.mark.parametrize("text", ["", "x", "-5", "1.5", " 9", "²", "٣", "9" * 5000])
def test_what_is_no_timeout_counts_as_none(text: str) -> None:
    assert timeout_seconds(release({"RELEASE_HEALTHCHECK_TIMEOUT": text})) == timeout_seconds(release({})) == 60


@pytest.mark.parametrize(
    ("code", "oom", "words"),
    [
        (0, False, "it exited with code 0 (it ended by itself)"),
        (1, False, "it exited with code 1"),
        (126, False, "it exited with code 126 (its command can't be executed)"),
        (127, False, "it exited with code 127 (its command was not found)"),
        (137, False, "it exited with code 137 (it was killed)"),
        (137, True, "it ran out of memory and was killed"),
        (143, False, "it exited with code 143 (it was terminated)"),
    ],
)
def test_how_a_container_ended(code: int, oom: bool, words: str) -> None:
    assert ending(ContainerState("i", False, "exited", code, oom, "", None, 0, "", None, {}, 0)) == words


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A server that answers `hello` over TLS, with a certificate of its own making."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "container")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(hours=1))
    (tmp_path / "pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.sign(key, SHA256()).public_bytes(Encoding.PEM)
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *words: object) -> None:
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_check_over_tls_does_not_ask_whose_certificate_it_is(tls_port: int) -> None:
    subject = Subject("c", "web.1", "127.0.0.1", tls_port, "a.localhost", threading.Event())
    last = [""]
    secure = Check("path", path="/", content="hello", scheme="https")
    assert _answers(subject, secure, tls_port, last), last
    assert not _answers(subject, dataclasses.replace(secure, content="other"), tls_port, last)
    assert not _answers(subject, dataclasses.replace(secure, scheme="http"), tls_port, last)
