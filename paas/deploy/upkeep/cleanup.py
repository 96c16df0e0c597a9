"""cleanup: what killed or failed work has left on the engine. Only what is ours, and nothing that somebody works with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from paas.deploy.retire import prune_releases
from paas.deploy.session import Session
from paas.engine.containers import LABEL_APP, LABEL_OPERATION, LABEL_ROOT
from paas.model.names import whole_number
from paas.model.operation import NoSuchOperation
from paas.store.apps import App
from paas.store.operations import alive

ENDED = ("exited", "dead")
# Whoever ran it may not have read its exit code yet.
GRACE = timedelta(seconds=10)


def cleanup(session: Session, app: App | None) -> tuple[int, int]:
    """Remove ended containers that no process of an app is in, releases beyond those that are kept, and images without a
    name; how many containers and images."""
    labels = {LABEL_ROOT: str(session.settings.root)}
    if app is not None:
        labels[LABEL_APP] = str(app.name)
    serving = {item.container_id for item in session.releases.all_processes()}
    serving |= {item.container_id for item in session.releases.retirements()}
    containers = 0
    for item in session.containers.listed(labels):
        if (
            item["State"] in ENDED
            and item["Id"] not in serving
            and _left(session, item["Id"], item["Labels"])
        ):
            session.containers.remove(item["Id"])
            containers += 1
    for item_app in [app] if app else session.apps.all():
        prune_releases(session, item_app)
    images = session.images.nameless(labels)
    for image in images:
        session.images.untag(image)
    return containers, len(set(images) - set(session.images.nameless(labels)))


def _left(session: Session, container_id: str, labels: dict[str, str]) -> bool:
    """Whether nobody is at work with an ended container any more."""
    number = whole_number(labels.get(LABEL_OPERATION, ""), 1, 2**62)
    if number is not None:
        try:
            record = session.operations.get(number)
        except NoSuchOperation:
            return True
        return not (record.open and alive(record))
    state = session.containers.find(container_id)
    if state is None:
        return False
    ended = datetime.fromisoformat(
        session.containers.inspect(container_id)["State"]["FinishedAt"][:19] + "+00:00"
    )
    return datetime.now(UTC) - ended > GRACE
