"""Where things are and where paas listens: the environment contract, read once.

Every name here is documented in docs/settings.md; the defaults are those of the contract table.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

ROOT_INSTALL = Path("/var/lib/paas")
REMEMBERED = "settings.env"
TOLD = (
    "PAAS_SSH_LISTEN",
    "PAAS_HTTP_LISTEN",
    "PAAS_HTTPS_LISTEN",
    "PAAS_DOMAIN",
    "PAAS_ROUTER",
    "PAAS_MAX_BUILDS",
    "PAAS_ENGINE_SECONDS",
    "DOCKER_HOST",
)
# How much at once, by the variable that changes it: the usual number, the least and the most.
COMMANDS = ("PAAS_MAX_COMMANDS", 512, 1, 100_000)
CONNECTIONS = ("PAAS_SSH_MAX_CONNECTIONS", 256, 1, 100_000)
BUILDS = ("PAAS_MAX_BUILDS", max(4, 2 * (os.cpu_count() or 1)), 1, 1000)
LOGIN_SECONDS = ("PAAS_SSH_LOGIN_SECONDS", 60, 1, 3600)
ENGINE_SECONDS = ("PAAS_ENGINE_SECONDS", 60, 1, 3600)


@dataclass(frozen=True)
class Listen:
    """An address to listen on; `port` 0 to 65535, `host` empty for every interface."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read ``host:port``, ``:port`` or ``[v6]:port``. Raises ValueError for anything else."""
        host, separator, port = text.rpartition(":")
        if not separator or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} is not host:port")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """One installation: its root directory, its listeners (`ssh_listen` None means off), how many commands,
    builds and SSH connections there may be at once, and how long an answer of the engine may take."""

    root: Path
    ssh_listen: Listen | None
    http_listen: Listen
    https_listen: Listen
    domain: str
    docker_host: str | None
    router_external: bool = False
    max_commands: int = COMMANDS[1]
    max_connections: int = CONNECTIONS[1]
    max_builds: int = BUILDS[1]
    login_seconds: int = LOGIN_SECONDS[1]
    engine_seconds: int = ENGINE_SECONDS[1]

    @classmethod
    def from_environment(cls, environ: dict[str, str] | None = None, remembered: bool = True) -> Settings:
        """Read PAAS_* and DOCKER_HOST; what is not set there as the server had it when it started (`remember`).

        Raises ValueError naming the variable that can't be read.
        """
        env = dict(os.environ) if environ is None else environ
        root = Path(env["PAAS_ROOT"]) if env.get("PAAS_ROOT") else default_root(env)
        if remembered:
            env = _remembered(root) | {name: value for name, value in env.items() if value}
        installed = root == ROOT_INSTALL
        web = (":80", ":443") if installed else ("127.0.0.1:8080", "127.0.0.1:8443")
        ssh = env.get("PAAS_SSH_LISTEN") or "127.0.0.1:2222"
        return cls(
            root=root.absolute(),
            ssh_listen=None if ssh == "off" else _listen("PAAS_SSH_LISTEN", ssh),
            http_listen=_listen("PAAS_HTTP_LISTEN", env.get("PAAS_HTTP_LISTEN") or web[0]),
            https_listen=_listen("PAAS_HTTPS_LISTEN", env.get("PAAS_HTTPS_LISTEN") or web[1]),
            domain=env.get("PAAS_DOMAIN") or "localhost",
            router_external=env.get("PAAS_ROUTER") == "external",
            docker_host=env.get("DOCKER_HOST") or None,
            max_commands=_number(env, *COMMANDS),
            max_connections=_number(env, *CONNECTIONS),
            max_builds=_number(env, *BUILDS),
            login_seconds=_number(env, *LOGIN_SECONDS),
            engine_seconds=_number(env, *ENGINE_SECONDS),
        )

    def remember(self, environ: dict[str, str] | None = None) -> None:
        """Keep what this server was told, for commands that run without its environment."""
        env = dict(os.environ) if environ is None else environ
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.root / f".{REMEMBERED}.{os.getpid()}"
        draft.write_text("".join(f"{name}={env[name]}\n" for name in TOLD if env.get(name)))
        draft.replace(self.root / REMEMBERED)

    @property
    def root_id(self) -> str:
        """Eight hex digits that name this root in image tags and networks, so that two installations
        can share one engine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:8]

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def socket_path(self) -> Path:
        return self.run_dir / "paas.sock"

    @property
    def database_path(self) -> Path:
        return self.root / "paas.db"

    @property
    def repositories_dir(self) -> Path:
        return self.root / "repositories"

    @property
    def operations_dir(self) -> Path:
        return self.root / "operations"

    @property
    def uploads_dir(self) -> Path:
        return self.root / "uploads"

    @property
    def locks_dir(self) -> Path:
        return self.root / "locks"

    @property
    def router_dir(self) -> Path:
        return self.root / "router"


def default_root(env: dict[str, str]) -> Path:
    """/var/lib/paas for root, else paas below the user's state directory."""
    if os.geteuid() == 0:
        return ROOT_INSTALL
    state = env.get("XDG_STATE_HOME") or str(Path(env.get("HOME", "/")) / ".local/state")
    return Path(state) / "paas"


def _remembered(root: Path) -> dict[str, str]:
    try:
        lines = (root / REMEMBERED).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines)
    return {name: value for name, _, value in pairs if name in TOLD}


def host_fqdn() -> str:
    """The machine's full name, for installations that did not set PAAS_DOMAIN."""
    return socket.getfqdn()


def _number(env: dict[str, str], name: str, usual: int, least: int, most: int) -> int:
    text = env.get(name) or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise ValueError(f"{name}: {text!r} is not a number from {least} to {most}")
    return int(text)


def _listen(name: str, text: str) -> Listen:
    try:
        return Listen.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
