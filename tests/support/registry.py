"""A private registry for tests: Debian's docker-registry with users (htpasswd), TLS by a CA of its own, and a line
that can be cut in the middle of a transfer.

It listens on the engine's bridge address and not on 127.0.0.1: an engine trusts every certificate of a loopback
registry, and the tests are to see whether it trusts this one.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.client
import ipaddress
import itertools
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import bcrypt
import docker
import docker.errors
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.clients import until_it_listens
from support.server import run

CERTIFICATES = Path("/etc/docker/certs.d")
STOP_SECONDS = 10
COPY_BYTES = 16 * 1024
BCRYPT_ROUNDS = 4  # the least that there is: these passwords protect nothing
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DAY = datetime.timedelta(days=1)


class Registry:
    """One registry and what it keeps. `name("app", "1")` is how an engine names an image in it."""

    def __init__(
        self, folder: Path, address: str, users: Mapping[str, str], trusted: bool = True, tls: bool = True
    ) -> None:
        self.folder = folder
        self.address = address
        self.tls = tls
        self.line = Line(address)
        self.host = f"{address}:{self.line.port}"
        self.users: dict[str, str] = {}
        self.set_users(users)
        self._drafts = itertools.count()
        self.process: subprocess.Popen[bytes] | None = None
        self._certificates = CERTIFICATES / self.host
        if tls:
            self._make_certificate()
            if trusted:
                self._certificates.mkdir(parents=True)
                shutil.copy(folder / "ca.crt", self._certificates)

    def name(self, repository: str, tag: str = "latest") -> str:
        """Of an image in this registry, as ``docker pull`` takes it."""
        return f"{self.host}/{repository}:{tag}"

    def set_users(self, users: Mapping[str, str]) -> None:
        """Who may come in from now on, by password; the registry notices."""
        self.users = dict(users)
        lines = [
            f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()}\n"
            for user, password in users.items()
        ]
        draft = self.folder / "htpasswd.new"
        draft.write_text("".join(lines))
        draft.rename(self.folder / "htpasswd")

    def start(self) -> None:
        """Serve; returns when it accepts connections."""
        with socket.create_server((self.address, 0)) as free:
            port = free.getsockname()[1]
        (self.folder / "config.json").write_text(json.dumps(self._settings(port)))
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", str(self.folder / "config.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until_it_listens(self.process, port, self.folder / "log", self.address)
        self.line.open(port)

    def stop(self) -> None:
        """Answer nobody any more; what it keeps stays."""
        self.line.close()
        if self.process:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
            self.process = None
        self.line.settle()

    def remove(self) -> None:
        """Stop; the engine neither trusts it any more nor keeps a name of it."""
        self.stop()
        with contextlib.closing(docker.from_env()) as engine:
            for image in engine.api.images():
                for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                    if name.startswith(f"{self.host}/"):
                        with contextlib.suppress(docker.errors.APIError):
                            engine.api.remove_image(name)
        self.line.release()
        shutil.rmtree(self._certificates, ignore_errors=True)

    def put(
        self, repository: str, tag: str, dockerfile: str, files: Mapping[str, str | bytes] | None = None
    ) -> str:
        """Build an image and put it here under a name, as another machine would: the engine keeps no name of it.

        Returns its digest (``sha256:…``).
        """
        # The engine may know the image's own name already, for the one that was here before.
        draft = self.name(repository, f"draft-{next(self._drafts)}")
        build(draft, dockerfile, files)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "config.json").write_text(
                json.dumps({"auths": {self.host: {"auth": self._token()}}})
            )
            said = run(["docker", "--config", folder, "push", draft]).ok()
        run(["docker", "image", "rm", draft]).ok()
        digest = re.findall(r"sha256:[0-9a-f]{64}", said)[-1]
        manifest = self._request("GET", f"{repository}/manifests/{digest}")
        self._request("PUT", f"{repository}/manifests/{tag}", manifest)
        return digest

    def _token(self) -> str:
        user, password = next(iter(self.users.items()), ("", ""))
        return base64.b64encode(f"{user}:{password}".encode()).decode()

    def _request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Ask the registry itself."""
        headers = {"Authorization": f"Basic {self._token()}", "Accept": MANIFEST, "Content-Type": MANIFEST}
        if self.tls:
            context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
            connection = http.client.HTTPSConnection(self.host, context=context)
        else:
            connection = http.client.HTTPConnection(self.host)
        with contextlib.closing(connection):
            connection.request(method, f"/v2/{path}", body, headers)
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status < 300, data
            return data

    def log(self) -> str:
        """What it said."""
        return (self.folder / "log").read_text(errors="replace")

    def requests(self) -> int:
        """How many requests it has answered so far."""
        return self.log().count(' HTTP/1.1" ')

    def _settings(self, port: int) -> dict[str, object]:
        listen: dict[str, object] = {
            "addr": f"{self.address}:{port}",
            "host": f"{'https' if self.tls else 'http'}://{self.host}",
        }
        if self.tls:
            listen["tls"] = {
                "certificate": str(self.folder / "server.crt"),
                "key": str(self.folder / "server.key"),
            }
        return {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": listen,
        } | (
            {"auth": {"htpasswd": {"realm": "paas-test", "path": str(self.folder / "htpasswd")}}}
            if self.users
            else {}
        )

    def _make_certificate(self) -> None:
        """A CA (ca.crt) and a certificate of it for our address (server.crt, server.key)."""
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paas test CA")])
        ca = _certificate(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=0))
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.address)])
        server = _certificate(subject, ca_name, key, ca_key, names)
        (self.folder / "ca.crt").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        (self.folder / "server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
        (self.folder / "server.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .sign(signer, hashes.SHA256())
    )


class Line:
    """A TCP proxy with a port that stays the same: nobody answers while it is closed, and it can be cut in mid-transfer."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.cut = threading.Event()
        self._held = self._hold(0)
        self.port: int = self._held.getsockname()[1]
        self._target = 0
        self._left: int | None = None
        self._listener: socket.socket | None = None
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def _hold(self, port: int) -> socket.socket:
        """Bound but not listening: the port is ours, and connecting to it is refused."""
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((self.address, port))
        return held

    def open(self, target: int) -> None:
        """Pass connections on to a port of the same address."""
        self._target, self._left = target, None
        self.cut.clear()
        self._held.close()
        self._listener = socket.create_server((self.address, self.port))
        self._begin(self._accept, self._listener)

    def close(self) -> None:
        """Refuse connections and break off those that there are."""
        if self._listener is None:
            return
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener = None

    def settle(self) -> None:
        """After `close`: hold the port until `open` or `release`."""
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        if self._held.fileno() < 0:
            self._held = self._hold(self.port)

    def release(self) -> None:
        """Give the port back."""
        self._held.close()

    def cut_after(self, size: int) -> None:
        """Close for good once so many more bytes have come from the registry; `cut` is set then."""
        self._left = size

    def _begin(self, function: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=function, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener, contextlib.suppress(OSError):
            while True:
                self._begin(self._link, listener.accept()[0])

    def _link(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection((self.address, self._target)) as server,
        ):
            self._ends |= {client, server}
            there = threading.Thread(target=self._copy, args=(client, server), daemon=True)
            there.start()
            self._copy(server, client, counted=True)
            there.join()
            self._ends -= {client, server}

    def _copy(self, source: socket.socket, target: socket.socket, counted: bool = False) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(COPY_BYTES):
                if counted and self._left is not None:
                    self._left -= len(data)
                    if self._left < 0:
                        self.close()
                        self.cut.set()
                        break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def bridge_address(engine: docker.DockerClient) -> str:
    """This machine's address on the engine's default bridge."""
    settings = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]
    address: str = settings.get("Gateway") or str(
        next(ipaddress.ip_network(settings["Subnet"], strict=False).hosts())
    )
    return address


@contextlib.contextmanager
def running_registry(
    address: str, users: Mapping[str, str], trusted: bool = True, tls: bool = True
) -> Iterator[Registry]:
    """A started registry; at the end nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="paas-test-registry-", dir="/tmp") as folder:
        registry = Registry(Path(folder), address, users, trusted, tls)
        try:
            registry.start()
            yield registry
        finally:
            registry.remove()


def build(tag: str, dockerfile: str, files: Mapping[str, str | bytes] | None = None) -> str:
    """Build an image from these files and return its id."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(dockerfile)
        for name, content in (files or {}).items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        run(["docker", "build", "--quiet", "--tag", tag, folder]).ok()
    return run(["docker", "image", "inspect", "--format", "{{.Id}}", tag]).ok().strip()
