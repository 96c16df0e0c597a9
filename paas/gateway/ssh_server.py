"""The embedded SSH server: public keys only, one process per connection, commands only.

The user name is ignored, the key decides. Ten keys may be tried on a connection. There is no forwarding, no agent, no sftp and no X11: whatever
paramiko's ServerInterface doesn't get a method for here, it refuses.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko import common
from paramiko.auth_handler import AuthHandler

from paas.errors import PaasError
from paas.gateway.forking import ForkingServer, call_ourselves, close_other_descriptors
from paas.gateway.ssh_algorithms import Transport
from paas.gateway.ssh_failures import FailedLogins
from paas.gateway.ssh_refused import RefusedLog
from paas.gateway.ssh_session import Session
from paas.settings import Listen, Settings

FindKey = Callable[[str], tuple[int, str] | None]

MAX_SESSIONS = 10
MAX_OFFERED = 20  # keys that are remembered for the log
GONE_MILLISECONDS = 60_000  # A client that acknowledges nothing for so long is gone.
KEEPALIVE_SECONDS = 30
WINDOW_BYTES = (
    4 << 20
)  # Several times over in memory while it moves on; 40 MB/s at a tenth of a second of distance.
PACKET_BYTES = 256 << 10
MEMORY_BYTES = 1 << 30  # For a client that sends more than its windows allow: paramiko doesn't mind.
BACKLOG = 256


class AddressInUse(PaasError):
    """{address} can't be listened on ({reason}). Nothing was started. Stop what uses it, or set PAAS_SSH_LISTEN to another address"""


class _QuickSocket(socket.socket):
    """Acknowledges at once: a client that logs in sends small packets in pairs, and its kernel holds the second back
    until the first is acknowledged, which ours would do after 40 ms only."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return super().recv(size, flags)


class _AuthHandler(AuthHandler):
    def _generate_key_from_request(self, algorithm: str, keyblob: bytes) -> Any:
        # paramiko hangs up on a kind of key that it doesn't know; the client's next key may be a good one.
        key = super()._generate_key_from_request(algorithm, keyblob)  # type: ignore[misc]
        return key or _UNKNOWN_KEY


_UNKNOWN_KEY = object()


@dataclass
class _Connection(paramiko.ServerInterface):
    """Who is at the other end, and what runs on its channels."""

    settings: Settings
    find_key: FindKey
    wanted: Callable[[], None] = lambda: None
    key_id: int | None = None
    offered: list[str] = field(default_factory=list)
    sessions: dict[int, Session] = field(default_factory=dict)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: object) -> int:
        # The last key that was asked for is the one whose signature paramiko checks next; an earlier one, offered
        # and never signed with, must leave nothing behind.
        self.key_id = None
        if isinstance(key, paramiko.PKey):
            mark = fingerprint(key.asbytes())
            if len(self.offered) < MAX_OFFERED:
                self.offered.append(mark)
            found = self.find_key(mark)
            if found:
                self.key_id = found[0]
                return common.AUTH_SUCCESSFUL
        return common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.sessions = {number: known for number, known in self.sessions.items() if not known.channel.closed}
        if kind != "session" or self.key_id is None:
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        if len(self.sessions) >= MAX_SESSIONS:
            return common.OPEN_FAILED_RESOURCE_SHORTAGE
        signal.alarm(0)
        self.wanted()
        return common.OPEN_SUCCEEDED

    def check_channel_pty_request(
        self,
        channel: paramiko.Channel,
        term: bytes,
        width: int,
        height: int,
        pixelwidth: int,
        pixelheight: int,
        modes: bytes,
    ) -> bool:
        session = self._session(channel)
        if session.started:
            return False
        session.environment[b"TERM"] = term
        session.resize((width, height, pixelwidth, pixelheight))
        return True

    def check_channel_window_change_request(
        self, channel: paramiko.Channel, width: int, height: int, pixelwidth: int, pixelheight: int
    ) -> bool:
        session = self._session(channel)
        if session.size is None:
            return False
        session.resize((width, height, pixelwidth, pixelheight))
        return True

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        if name != b"GIT_PROTOCOL":
            return False
        self._session(channel).environment[name] = value
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self.check_channel_exec_request(channel, b"help")

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        session = self._session(channel)
        if session.started:
            return False
        session.start(command)
        return True

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return False

    def _session(self, channel: paramiko.Channel) -> Session:
        key_id = self.key_id
        if key_id is None:
            raise paramiko.SSHException("no key")
        return self.sessions.setdefault(channel.get_id(), Session(self.settings, key_id, channel))


@dataclass
class SshServer:
    """Lets in whose key `find_key` knows by its fingerprint."""

    settings: Settings
    find_key: FindKey
    refused: RefusedLog = field(default_factory=RefusedLog)
    failures: FailedLogins = field(default_factory=FailedLogins)

    def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:
        """Serve on `listener` until SIGTERM. Connections that are open then are left alone."""
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)
        self.host_key = host_key(self.settings)
        limit = self.settings.max_connections
        ForkingServer(listener, self.handle, self._refuse, limit, admit=self._admit).run(ready)

    def _admit(self, connection: socket.socket) -> bool:
        return self.failures.admit(_peer(connection))

    def _refuse(self, connection: socket.socket) -> None:
        """What a client is told before it has told anything itself; `ssh -v` shows it."""
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.send(b"%d connections are open already. Try again in a moment\r\n" % self.settings.max_connections)

    def handle(self, connection: socket.socket, wanted: Callable[[], None] = lambda: None) -> None:
        """Be the process of one connection, until its end. `wanted` is called when a key of ours wants something."""
        call_ourselves("paas connection")
        signal.alarm(self.settings.login_seconds)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        close_other_descriptors({connection.fileno()})
        address = _peer(connection)
        connection = _QuickSocket(fileno=connection.detach())
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_MILLISECONDS)
        transport = Transport(
            connection, default_window_size=WINDOW_BYTES, default_max_packet_size=PACKET_BYTES
        )
        transport.local_version = "SSH-2.0-paas"
        login = _AuthHandler(transport)
        transport.auth_handler = login
        transport.add_server_key(self.host_key)
        client = _Connection(self.settings, self.find_key, wanted)

        def tell() -> None:
            if client.offered and not login.is_authenticated():
                self.failures.failed(address)
                self.refused.write(address, client.offered)

        def too_slow(*_: object) -> None:
            tell()
            os._exit(1)

        signal.signal(signal.SIGALRM, too_slow)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=client)
            transport.set_keepalive(KEEPALIVE_SECONDS)
            transport.join()
        tell()


def _peer(connection: socket.socket) -> str:
    """The address of the client."""
    try:
        return str(connection.getpeername()[0])
    except OSError:  # Gone already.
        return "somebody"


def listen(address: Listen) -> socket.socket:
    """A listening socket on `address`. Raises AddressInUse."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    host = address.host
    if not host and socket.has_dualstack_ipv6():
        family, host = socket.AF_INET6, "::"
    try:
        return socket.create_server(
            (host, address.port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=not address.host and bool(host),
        )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise AddressInUse(address=address, reason=reason) from None


def stored_key(settings: Settings) -> FindKey:
    """A function that looks a key up by its fingerprint in the database of `settings`."""

    def find(mark: str) -> tuple[int, str] | None:
        from paas.store.database import open_database
        from paas.store.keys import Keys

        database = open_database(settings)
        try:
            key = Keys(database).by_fingerprint(mark)
        finally:
            database.close()
        return (key.id, key.name) if key else None

    return find


def fingerprint(blob: bytes) -> str:
    """``SHA256:…``, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def host_key(settings: Settings) -> paramiko.PKey:
    """The server's own key, made at the first start."""
    path = settings.root / "ssh" / "host_ed25519"
    if not path.exists():
        _make_host_key(path)
    return paramiko.Ed25519Key(filename=str(path))


def _make_host_key(path: Path) -> None:
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    # A link doesn't replace: of two that start at once, one key stays.
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()
