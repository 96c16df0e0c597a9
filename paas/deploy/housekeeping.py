"""repo:gc and repo:purge-cache: the disk that one app's repository and build folder take."""

from __future__ import annotations

import os
from pathlib import Path

from paas.console import size
from paas.deploy.checkout import Checkout
from paas.deploy.operation import operation
from paas.deploy.session import Session
from paas.store.apps import App

# What nothing refers to may belong to a push that is just coming in; git's own choice of how old is old.
PRUNED = "2.weeks.ago"


def collect_garbage(session: Session, app: App) -> None:
    """Raises GitFailed."""
    with operation(session, app, "repo:gc") as running:
        repository = session.repository(running.app)
        session.console.step(f"Packing the repository of {running.app.name}")
        if not repository.exists:
            session.console.detail("It has none yet")
            return
        before = _bytes_below(repository.path)
        # Branches stay files of their own: scripts read them.
        repository.git("-c", "gc.packRefs=false", "gc", "--quiet", f"--prune={PRUNED}")
        repository.close()
        session.console.detail(f"{size(before)} before, {size(_bytes_below(repository.path))} now")


def purge_cache(session: Session, app: App) -> None:
    """The next build of the app begins with an empty folder."""
    with operation(session, app, "repo:purge-cache") as running:
        session.console.step(f"Purging the build cache of {running.app.name}")
        checkout = Checkout(session, running.app)
        freed = _bytes_below(checkout.folder)
        checkout.remove()
        session.console.detail(f"{size(freed)} freed")


def _bytes_below(folder: Path) -> int:
    return sum(
        (Path(place) / name).lstat().st_size for place, _, names in os.walk(folder) for name in names
    )
