"""doctor: do the engine's containers and images fit the database? One question to the engine for each, however many apps."""

from __future__ import annotations

from collections.abc import Iterator

from paas.deploy.containers.run_containers import LABEL_RUN
from paas.deploy.restore import wanted
from paas.deploy.session import Session
from paas.engine.containers import LABEL_APP, LABEL_OPERATION, LABEL_PROCESS, LABEL_ROOT
from paas.model.finding import Finding, ok, problem, warning
from paas.model.names import whole_number
from paas.store.operations import alive

SHOWN = 20


def look_at_apps(session: Session) -> Iterator[Finding]:
    """Containers that are missing, do not run, or are nobody's."""
    there = {item["Id"]: item for item in session.containers.listed({LABEL_ROOT: str(session.settings.root)})}
    serving = session.releases.all_processes()
    leaving = {item.container_id for item in session.releases.retirements()}
    apps = {app.id: app for app in session.apps.all()}
    busy = {record.app_id for record in session.operations.open() if alive(record)}
    found: list[Finding] = []
    for process in serving:
        app = apps.get(process.app_id)
        if app is None or app.id in busy or not wanted(session, app):
            continue
        container = there.get(process.container_id)
        if container is None:
            found.append(problem("app", f"{app.name}: the container of {process.name} is gone", f"paas ps:restart {app.name}"))
        elif container["State"] != "running":
            text = f"{app.name}: {process.name} is {container['State']}"
            found.append(problem("app", text, f"paas logs {app.name}; paas ps:restart {app.name}"))
    ours = {process.container_id for process in serving} | leaving
    open_ids = {record.id for record in session.operations.open() if alive(record)}
    for number, item in there.items():
        labels = item["Labels"]
        operation = whole_number(labels.get(LABEL_OPERATION, ""), 1, 2**62)
        if number in ours or LABEL_RUN in labels or operation in open_ids or LABEL_PROCESS not in labels:
            continue
        text = f"The container {number[:12]} of {labels.get(LABEL_APP, 'an app')} ({item['State']}) is nobody's"
        found.append(problem("container", text, f"docker rm --force {number[:12]}"))
    yield from _shown(found, "app")
    if not found:
        yield ok("apps", f"{len(apps)} apps, all {len(serving)} processes are as they should be")


def look_at_images(session: Session) -> Iterator[Finding]:
    """Images of releases that are not on the engine."""
    names = session.images.names()
    found: list[Finding] = []
    rows = session.database.rows(
        "SELECT name, number, image_tag, number = current_release AS current FROM releases"
        " JOIN apps ON apps.id = app_id WHERE status = 'succeeded' ORDER BY name, number DESC"
    )
    for row in rows:
        if row["image_tag"] in names:
            continue
        if row["current"]:
            text = f"The image of {row['name']}'s release r{row['number']} is gone: it can't be restarted"
            found.append(problem("image", text, f"paas ps:rebuild {row['name']}"))
        else:
            text = f"The image of {row['name']}'s release r{row['number']} is gone: there is no way back to it"
            found.append(warning("image", text))
    yield from _shown(found, "image")
    if not found:
        yield ok("images", f"Those of all {len(rows)} kept releases are there")


def look_at_operations(session: Session) -> Iterator[Finding]:
    """Operations whose process is gone and that nobody has cleaned up after."""
    dead = [record for record in session.operations.open() if not alive(record)]
    for record in dead[:SHOWN]:
        text = f"#{record.id} ({record.kind} on {record.app_name}) was killed and is not undone yet"
        mend = f"paas ps:restart {record.app_name}" if record.app_name else "systemctl restart paas"
        yield warning("operation", text, mend)
    if not dead:
        yield ok("operations", "None was left half-way")


def _shown(found: list[Finding], check: str) -> Iterator[Finding]:
    yield from found[:SHOWN]
    if len(found) > SHOWN:
        worst = problem if any(item.level == "problem" for item in found[SHOWN:]) else warning
        yield worst(check, f"and {len(found) - SHOWN} more")
