"""doctor: do the apps' domains lead to this machine? All are asked for at once, and what has no answer in time is told."""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from paas.deploy.session import Session
from paas.model.finding import Finding, ok, warning

ASKED_AT_ONCE = 16
SECONDS = 5.0
MOST = 500
SHOWN = 20
IPV4_ROUTES, IPV6_ADDRESSES = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def look_at_names(session: Session) -> Iterator[Finding]:
    """A warning at most: the machine may be behind another one that has the public address."""
    rows = session.database.rows(
        "SELECT name, domain FROM domains JOIN apps ON apps.id = app_id ORDER BY domain LIMIT ?", (MOST,)
    )
    names = {
        row["domain"]: row["name"]
        for row in rows
        if "*" not in row["domain"] and not row["domain"].endswith("localhost")
    }
    if not names:
        return
    here = own_addresses()
    answers = ask(list(names))
    shown = 0
    for domain, app in names.items():
        found = answers.get(domain)
        if found is not None and found & here:
            continue
        shown += 1
        if found is None:
            text = f"{domain} ({app}): the name server did not answer in {SECONDS:.0f} s"
        elif not found:
            text = f"{domain} ({app}) has no address"
        else:
            text = f"{domain} ({app}) leads to {', '.join(sorted(found)[:3])}, which is not an address of this machine"
        if shown <= SHOWN:
            yield warning("name", text, f"set it at your name server, or: paas domains:remove {app} {domain}")
    if shown > SHOWN:
        yield warning("name", f"and {shown - SHOWN} more")
    if not shown:
        yield ok("names", f"All {len(names)} domains lead here")


def ask(names: list[str]) -> dict[str, set[str]]:
    """The addresses of each name; those of which nothing was heard in time are left out."""
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    heard: queue.SimpleQueue[tuple[str, set[str]]] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)

    def work() -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            heard.put((name, _addresses(name)))

    # Daemons: one that still waits for a name server must not keep the command from ending.
    for _ in range(min(ASKED_AT_ONCE, len(names))):
        threading.Thread(target=work, daemon=True).start()
    found: dict[str, set[str]] = {}
    end = time.monotonic() + SECONDS
    while len(found) < len(names) and (left := end - time.monotonic()) > 0:
        try:
            name, addresses = heard.get(timeout=left)
        except queue.Empty:
            break
        found[name] = addresses
    return found


def own_addresses() -> set[str]:
    """The machine's own, as its kernel tells."""
    found: set[str] = set()
    try:
        found |= set(_LOCAL.findall(IPV4_ROUTES.read_text()))
        for line in IPV6_ADDRESSES.read_text().splitlines():
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
    except (OSError, ValueError):
        return found
    return found


def _addresses(name: str) -> set[str]:
    try:
        return {str(item[4][0]) for item in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
