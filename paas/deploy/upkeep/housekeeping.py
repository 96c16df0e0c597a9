"""repo:gc and repo:purge-cache: the disk that one app's repository and build folder take."""

from __future__ import annotations

import os
import time
from pathlib import Path

from paas.console import size
from paas.deploy import build_cache
from paas.deploy.operation import operation
from paas.deploy.session import Session
from paas.deploy.sources.checkout import Checkout
from paas.store.apps import App

# What nothing refers to may belong to a push that is just coming in; git's own choice of how old is old.
PRUNED = "2.weeks.ago"
# Each push leaves some files. As git does, those in one of 256 folders are counted.
LOOSE_OBJECTS = 1000
SAMPLE, FOLDERS = "17", 256
PACKED_AGAIN_SECONDS = 24 * 3600.0


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


def packing_is_due(session: Session, app: App) -> bool:
    """Whether the repository has become many files, and is not one that was just packed and still has them."""
    objects: Path = session.repository(app).path / "objects"
    sample, packed = objects / SAMPLE, objects / "info" / "packs"
    if not sample.exists() or len(list(sample.iterdir())) * FOLDERS < LOOSE_OBJECTS:
        return False
    # git gc writes it each time.
    return not packed.exists() or time.time() - packed.stat().st_mtime > PACKED_AGAIN_SECONDS


def purge_cache(session: Session, app: App) -> None:
    """The next build of the app begins with nothing that one before it has left."""
    with operation(session, app, "repo:purge-cache") as running:
        session.console.step(f"Purging the build cache of {running.app.name}")
        checkout = Checkout(session, running.app)
        freed = _bytes_below(checkout.folder)
        checkout.remove()
        build_cache.purge(session, running.app)
        session.console.detail(f"{size(freed)} freed")


def _bytes_below(folder: Path) -> int:
    return sum(
        (Path(place) / name).lstat().st_size for place, _, names in os.walk(folder) for name in names
    )
