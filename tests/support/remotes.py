"""Other people's servers on loopback: git's daemon, sshd, and a web server with git, LFS objects and plain files."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.clients import until_it_listens
from support.repo import GIT_ENV, Repo
from support.server import free_port, run


def bare(source: Repo, target: Path) -> Path:
    """A bare copy of a repository, as servers have them; `source` can push to it as `origin`."""
    run(["git", "clone", "-q", "--bare", str(source.path), str(target)], env={**os.environ, **GIT_ENV}).ok()
    for name in ("uploadpack.allowAnySHA1InWant", "http.receivepack"):
        run(["git", "-C", str(target), "config", name, "true"]).ok()
    source.git("remote", "add", "origin", str(target)).ok()
    return target


@contextlib.contextmanager
def git_daemon(folder: Path) -> Iterator[str]:
    """git's own server of everything below a folder; yields ``git://127.0.0.1:PORT``."""
    port = free_port()
    words = ["git", "daemon", "--reuseaddr", "--export-all", "--informative-errors", "--listen=127.0.0.1"]
    process = subprocess.Popen(
        [*words, f"--port={port}", f"--base-path={folder}", str(folder)],
        env={**os.environ, **GIT_ENV},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until_it_listens(process, port)
        yield f"git://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@contextlib.contextmanager
def sshd(keys: Path) -> Iterator[str]:
    """A private sshd that lets root's `keys` (an authorized_keys file) in; yields ``ssh://root@127.0.0.1:PORT``."""
    folder = Path(tempfile.mkdtemp(prefix="remote-sshd-", dir="/tmp"))
    port = free_port()
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host_key")]).ok()
    (folder / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nPidFile none\nAuthorizedKeysFile {keys}\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_it_listens(process, port)
        yield f"ssh://root@127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


@dataclass
class Web:
    """A web server: ``/git/NAME`` are the bare repositories below `folder`, ``/files/NAME`` plain files (bytes, or a
    str to be redirected to), with an `account` (name:password) for everybody who wants something."""

    folder: Path
    account: str | None = None
    files: dict[str, bytes | str] = field(default_factory=dict)
    lfs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def keep(self, data: bytes) -> str:
        """Have an LFS object; its pointer file."""
        name = hashlib.sha256(data).hexdigest()
        self.lfs[name] = data
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{name}\nsize {len(data)}\n"


@contextlib.contextmanager
def web(folder: Path, account: str | None = None, certificate: Path | None = None) -> Iterator[Web]:
    """Serve on loopback, with TLS where a `certificate` (with its key, PEM) is given."""
    found = Web(folder, account)
    handler = type("Handler", (_Handler,), {"web": found})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        found.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def handle(self) -> None:
        # git-lfs resets connections that it does not need any more.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        authorization = self.headers.get("Authorization", "")
        self.web.asked.append(f"{self.command} {self.path} {'with' if authorization else 'without'} credentials")
        if self.web.account:
            expected = "Basic " + base64.b64encode(self.web.account.encode()).decode()
            if authorization != expected:
                self._send(401, b"who are you?\n", **{"WWW-Authenticate": 'Basic realm="test"'})
                return
        path, _, query = self.path.partition("?")
        if path.startswith("/files/"):
            self._file(path.removeprefix("/files/"))
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(body))
        elif path.startswith("/lfs/"):
            self._send(200, self.web.lfs[path.removeprefix("/lfs/")])
        else:
            self._git(path.removeprefix("/git"), query, body)

    def _file(self, name: str) -> None:
        found = self.web.files.get(name)
        if isinstance(found, str):
            self._send(302, b"", Location=found)
        else:
            self._send(404 if found is None else 200, found or b"")

    def _batch(self, wanted: dict[str, list[dict[str, object]]]) -> None:
        objects = [
            {**item, "actions": {"download": {"href": f"{self.web.url}/lfs/{item['oid']}"}}}
            if item["oid"] in self.web.lfs
            else {**item, "error": {"code": 404, "message": "not here"}}
            for item in wanted["objects"]
        ]
        data = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._send(200, data, **{"Content-Type": "application/vnd.git-lfs+json"})

    def _git(self, path: str, query: str, body: bytes) -> None:
        env = {
            **os.environ,
            **GIT_ENV,
            "GIT_PROJECT_ROOT": str(self.web.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=False)
        head, _, data = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        self._send(int(headers.pop("Status", "200").split()[0]), data, **headers)

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)
