"""One app's requests go to other processes from now on: told to the router, then recorded.

Where nothing else has changed since the router was brought in step, nothing else is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from paas.deploy.routing.routes import route
from paas.deploy.session import Session
from paas.model.release import Process
from paas.steps import step
from paas.store import routing
from paas.store.apps import App


def switch(session: Session, app: App, processes: list[Process], commit: Callable[[], None]) -> None:
    """Send the app's requests to `processes` and store that with `commit`. Inside of `session.routing()`.

    Raises RouterFailed, and what `commit` raises; then the caller has the router brought in step again.
    """
    version = routing.version(session.database)
    wanted = route(session, app, processes)
    with step("switch"):
        if session.router.switch(wanted, version) is None:
            session.apply(session.routes(app, processes))
    with step("transaction"), session.database.transaction():
        undisturbed = routing.version(session.database) == version
        commit()
        version = routing.version(session.database)
    # A release's config may also change how the router treats the app.
    now = session.apps.by_id(app.id)
    with step("settle"):
        if undisturbed and now is not None and route(session, now) == wanted:
            session.router.settle(version)
        else:
            version = routing.version(session.database)
            session.apply(session.routes(), version)
