"""Where web's containers are on the network that all apps share: each has an address that it keeps for life."""

from __future__ import annotations

from paas.deploy.session import Session
from paas.engine.shared_network import FixedAddresses


def reserve(session: Session, fixed: FixedAddresses | None) -> str:
    """An address for a new container, nobody else's; empty where the engine has to choose one.

    They are given out in turn: one whose container is still being stopped is not given to the next one.
    """
    if fixed is None:
        return ""
    network, database = session.network, session.database
    with database.transaction():
        taken = {process.address for process in session.releases.all_processes()}
        row = database.row("SELECT last FROM addresses WHERE network = ?", (network,))
        last = int(row["last"]) if row else -1
        for number in range(last + 1, last + 1 + min(fixed.count, len(taken) + 1)):
            if fixed.at(number) not in taken:
                database.execute(
                    "INSERT INTO addresses VALUES (?, ?) ON CONFLICT (network) DO UPDATE SET last = excluded.last",
                    (network, number % fixed.count),
                )
                return fixed.at(number)
    return ""
