"""ps:set skip-deploy: a release that was built and not rolled out, until ps:start or ps:restart does."""

from __future__ import annotations

from paas.deploy.session import Session
from paas.model.release import Release
from paas.store.apps import App

KEY = "skipped-release"


def skips(session: Session, app: App) -> bool:
    """Whether deploys of the app end before their rollout."""
    return session.properties.computed(app.id, "ps", "skip-deploy") == "true"


def skipped_release(session: Session, app: App) -> Release | None:
    """The app's newest deploy if it was skipped, None where it was not."""
    number = session.properties.get(app.id, "ps", KEY)
    return session.releases.find(app.id, int(number)) if number else None


def note(session: Session, app: App, number: int | None) -> None:
    """Remember the release to start later, None for none."""
    session.properties.set(app.id, "ps", KEY, str(number or ""))
