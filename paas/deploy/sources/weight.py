"""How much the files of a commit are, before any of them is read: few objects can stand for any number of paths."""

from __future__ import annotations

import stat

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.names import printable
from paas.store.apps import App
from paas.store.repositories import Listed, Repository

MAX_LINK_BYTES = 4096


class CommitTooLarge(PaasError):
    """The commit's files are more than {limit} {unit}. Nothing was deployed. Leave out what the build doesn't need, or raise the limit: git:set {app} {key} N"""


class LinkTooLong(PaasError):
    """The symbolic link {path} in the commit is {size} bytes long. Nothing was deployed. Commit a link of at most 4096 bytes"""


def weighed(session: Session, app: App, repository: Repository, commit: str) -> list[Listed]:
    """Everything in a commit, folders too: as many and as large as what a push or an archive brings may be.

    Raises CommitTooLarge, LinkTooLong, GitFailed.
    """

    def limit(*keys: str) -> tuple[int, str]:
        return max((int(session.properties.computed(app.id, "git", key)), key) for key in keys)

    most, count_key = limit("push-max-objects", "archive-max-files")
    room, size_key = limit("push-max-size", "archive-max-size")
    found: list[Listed] = []
    for item in repository.listed(commit):
        room -= item.size
        if stat.S_ISLNK(item.mode) and item.size > MAX_LINK_BYTES:
            raise LinkTooLong(path=printable(item.path), size=item.size)
        if len(found) == most:
            raise CommitTooLarge(app=app.name, limit=most, unit="files and folders", key=count_key)
        if room < 0:
            raise CommitTooLarge(app=app.name, limit=limit(size_key)[0], unit="bytes", key=size_key)
        found.append(item)
    return found
