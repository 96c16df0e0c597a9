"""What every container is kept from that an ordinary image never needs. `docker run`'s options take each back."""

from __future__ import annotations

from typing import Any

# Processes and threads: of a runaway fork the machine notices nothing, and a large Java server has fewer.
MAX_PROCESSES = 4096
LOG_MAX_SIZE = "10m"
# The part before the current one stays, else docker logs would be empty after every turn.
LOG_FILES = "2"
NO_NEW_PRIVILEGES = "no-new-privileges"
# Of Docker's fourteen, as Podman does too. NET_RAW would let an app speak in the name of others on the apps' network (ARP),
# MKNOD makes device nodes, AUDIT_WRITE writes into the host's audit log. Images that start as root, give files away,
# change to another user, take port 80 or install packages need the other eleven.
DROPPED = ("AUDIT_WRITE", "MKNOD", "NET_RAW")


def defaults() -> dict[str, Any]:
    """Keyword arguments of the client library's create_host_config."""
    return {
        "pids_limit": MAX_PROCESSES,
        "security_opt": [NO_NEW_PRIVILEGES],
        "cap_drop": list(DROPPED),
        "log_config": {"type": "json-file", "config": {"max-size": LOG_MAX_SIZE, "max-file": LOG_FILES}},
    }


def settle(given: dict[str, Any], host: dict[str, Any]) -> None:
    """Make one of the defaults and of what options say: `given` is the options' HostConfig, `host` that of the create
    call, to which they were applied."""
    privileged = bool(given.get("Privileged"))
    added = {_bare(name) for name in given.get("CapAdd", ())}
    kept = () if privileged or "ALL" in added else (name for name in DROPPED if name not in added)
    host["CapDrop"] = list(dict.fromkeys([*kept, *map(_bare, given.get("CapDrop", ()))]))
    chosen = list(given.get("SecurityOpt", ()))
    if privileged or any(item.startswith(NO_NEW_PRIVILEGES) for item in chosen):
        host["SecurityOpt"] = chosen
    else:
        host["SecurityOpt"] = [NO_NEW_PRIVILEGES, *chosen]


def _bare(name: str) -> str:
    return name.upper().removeprefix("CAP_")
