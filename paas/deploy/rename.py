"""apps:rename: a new name for the same app, with its repository, domains and route, while it goes on serving."""

from __future__ import annotations

from paas.deploy.operation import operation
from paas.deploy.session import Session
from paas.errors import NameTaken
from paas.model.names import AppName
from paas.store.apps import App


def rename(session: Session, app: App, name: AppName) -> None:
    """Raises NameTaken. The containers keep their old names until the next deploy or restart."""
    if session.apps.find(name):
        raise NameTaken()
    with operation(session, app, "apps:rename", f"{app.name} {name}"):
        repository = session.repository(app)
        with session.database.transaction():
            renamed = session.apps.rename(app, name)
            repository.rename(name)
        session.reroute()
    session.console.detail(
        f"{renamed.name} has its own repository path now: git remote set-url … {renamed.name}"
    )
