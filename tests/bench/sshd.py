"""A private sshd with three doors: paas (its forced command), `true` (forced to just that) and `shell` (not forced)."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.clients import until_it_listens
from support.doors import HOST
from support.server import Paas, free_port, run

CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {root}/.ssh/authorized_keys {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 100
# bash reads ~/.bashrc for a command that sshd runs unless it finds itself below another shell. What is in the
# .bashrc of this machine's root is nothing to measure; a service's user has none.
SetEnv SHLVL=2
"""

CLIENT_CONFIG = """\
Host {host}
    HostName 127.0.0.1
    Port {port}
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    StrictHostKeyChecking accept-new
    BatchMode yes
    LogLevel ERROR
"""


@contextlib.contextmanager
def running_sshd(paas: Paas, directory: Path) -> Iterator[dict[str, Path]]:
    """The ssh client's configuration for each door, by the door's name. `directory` is for keys and files."""
    port = free_port()
    keys = {"paas": paas.key}
    for name in ("host_key", "true", "shell"):
        keys[name] = directory / name
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys[name])]).ok()
    forced = keys["true"].with_suffix(".pub").read_text()
    free = keys["shell"].with_suffix(".pub").read_text()
    # The same options as on the line of a key of paas.
    (directory / "authorized_keys").write_text(f'command="true",restrict,pty {forced}restrict,pty {free}')
    config = directory / "sshd_config"
    config.write_text(CONFIG.format(port=port, directory=directory, root=paas.root))
    clients = {name: directory / f"{name}.ssh_config" for name in ("paas", "true", "shell")}
    for name, path in clients.items():
        path.write_text(CLIENT_CONFIG.format(host=HOST, port=port, key=keys[name], directory=directory))
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = directory / "sshd.log"
    with log.open("wb") as output:
        words = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=output, start_new_session=True)
    try:
        until_it_listens(server, port, log)
        yield clients
    finally:
        server.terminate()
        server.wait()
