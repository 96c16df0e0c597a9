"""events: one line for every recorded operation."""

from __future__ import annotations

from inotify_simple import INotify, flags

from paas.deploy.session import Session
from paas.model.build import moment
from paas.model.operation import Operation

SETTLE_MILLISECONDS = 100


def line(item: Operation) -> str:
    """``2026-11-21T07:12:04Z #3 ps:scale web=2 on hello by admin (ssh): succeeded``."""
    what = f"{item.kind} {item.words}".rstrip()
    on = f" on {item.app_name}" if item.app_name else ""
    why = f" ({item.message.splitlines()[0][:100]})" if item.message else ""
    ended = f"{item.status}{why}"
    return f"{moment(item.created_at)} #{item.id} {what}{on} by {item.caller} ({item.door}): {ended}"


def follow(session: Session, shown: list[Operation]) -> None:
    """Print what begins or ends from now on, until the caller goes away; `shown` has been printed already."""
    reach = session.reach
    last = max((item.id for item in shown), default=0)
    going_on = {item.id for item in session.operations.open() if reach.sees(item.app_id)}
    database = session.settings.database_path
    with INotify() as watcher:
        # The write-ahead log comes and goes; what is in the directory of the database tells of both.
        watcher.add_watch(str(database.parent), flags.MODIFY | flags.CREATE)
        settled = False
        while True:
            for item in session.operations.since(last):
                last = item.id
                if not reach.sees(item.app_id):
                    continue
                session.console.print(line(item))
                going_on |= {item.id} if item.open else set()
            for number in sorted(going_on):
                record = session.operations.get(number)
                if not record.open:
                    going_on.remove(number)
                    session.console.print(line(record))
            # The files change an instant before others can read what was written, so it is looked at again.
            if settled:
                while not any(event.name.startswith(database.name) for event in watcher.read()):
                    pass
                settled = False
            else:
                settled = not watcher.read(timeout=SETTLE_MILLISECONDS)
