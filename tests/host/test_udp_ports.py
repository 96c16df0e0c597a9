"""A udp mapping: the engine publishes it for the app's first web process, before and after a deploy."""

from __future__ import annotations

import contextlib
import json
import socket

from support.clients import until
from support.doors import Door
from support.server import Paas

# Answers every datagram, beside the web server.
SERVER = """\
import http.server, os, socket, threading
def answer():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 9999))
        while True:
            server.sendto(b"pong\\n", server.recvfrom(64)[1])
threading.Thread(target=answer, daemon=True).start()
http.server.HTTPServer(("", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
DOCKERFILE = 'FROM paas-test/base\nCOPY server.py /app/\nWORKDIR /app\nSTOPSIGNAL SIGKILL\nCMD ["python3", "server.py"]\n'


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            client.sendto(b"ping\n", ("127.0.0.1", port))
            return client.recv(16) == b"pong\n"
    return False


def test_datagrams_reach_the_app_before_and_after_a_deploy(paas: Paas, host: Door, engine, tmp_path) -> None:  # type: ignore[no-untyped-def]
    port = free_udp_port()
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "server.py").write_text(SERVER)
    engine.images.build(path=str(tmp_path), tag="paas-test/udp", rm=True)
    try:
        host.ssh("apps:create", "udp").ok()
        said = host.ssh("ports:add", "udp", "http:80:5000", f"udp:{port}:9999")
        assert (said.code, said.out) == (0, "")
        assert "web's old processes stop before new ones start from then on" in said.err
        host.ssh("git:from-image", "udp", "paas-test/udp").ok()
        until(lambda: answers(port))
        host.ssh("ps:restart", "udp").ok()
        until(lambda: answers(port))
        assert paas.http_get("udp").status == 200
        report = json.loads(host.ssh("ports:report", "udp", "--format", "json").ok())
        assert report["map"] == f"http:80:5000 udp:{port}:9999"
    finally:
        host.ssh("apps:destroy", "--force", "udp")
        engine.api.remove_image("paas-test/udp", force=True)
