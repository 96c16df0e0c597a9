"""How much the files of a commit are, before any of them is written: few objects can stand for any number of paths."""

from __future__ import annotations

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.store.apps import App
from paas.store.repositories import Repository


class CommitTooLarge(PaasError):
    """The commit's files are more than {limit} {unit}. Nothing was deployed. Leave out what the build doesn't need, or raise the limit: git:set {app} {key} N"""


def check_weight(session: Session, app: App, repository: Repository, commit: str) -> None:
    """As many files and bytes as a push or an archive may have. Raises CommitTooLarge."""

    def limit(*keys: str) -> tuple[int, str]:
        return max((int(session.properties.computed(app.id, "git", key)), key) for key in keys)

    most, count_key = limit("push-max-objects", "archive-max-files")
    room, size_key = limit("push-max-size", "archive-max-size")
    for number, item in enumerate(repository.listed(commit), 1):
        room -= item.size
        if number > most:
            raise CommitTooLarge(app=app.name, limit=most, unit="files and folders", key=count_key)
        if room < 0:
            raise CommitTooLarge(app=app.name, limit=limit(size_key)[0], unit="bytes", key=size_key)
