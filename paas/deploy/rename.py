"""apps:rename: a new name for the same app, with its repository, domains and route, while it goes on serving."""

from __future__ import annotations

from paas.deploy import plugged
from paas.deploy.changes import roll
from paas.deploy.operation import operation
from paas.deploy.session import Session
from paas.deploy.upkeep.agent_mail import CERTIFICATES, tell_agent
from paas.errors import NameTaken, PaasError
from paas.model.names import AppName
from paas.store.apps import App


class RenamedOnly(PaasError):
    """{old} is {new} now, but its processes were not replaced: {reason}. They go on serving. Replace them with ps:restart {new}"""


def rename(session: Session, app: App, name: AppName, skip_deploy: bool = False) -> None:
    """Then replace its processes, whose containers are named after it. Raises NameTaken, RenamedOnly.

    With `skip_deploy` the containers keep their old names until the next deploy or restart.
    """
    if session.apps.find(name):
        raise NameTaken()
    with operation(session, app, "apps:rename", f"{app.name} {name}") as running:
        app = running.app
        repository = session.repository(app)
        with session.database.transaction():
            renamed = session.apps.rename(app, name)
            plugged.renamed(session, renamed, app.name)
            repository.rename(name)
        session.reroute()
        tell_agent(session.settings, CERTIFICATES)
        session.console.detail(f"{name} has its own repository path now: git remote set-url … {name}")
        if skip_deploy or not renamed.deployed or renamed.stopped:
            return
        try:
            roll(session, renamed, running, session.apps.formation(renamed), [])
        except PaasError as error:
            raise RenamedOnly(old=app.name, new=name, reason=error.fields.get("reason", error)) from error
