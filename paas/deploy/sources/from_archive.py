"""git:from-archive: the files of a tar or zip archive become a commit, which is deployed as git:from-image's is."""

from __future__ import annotations

from paas.deploy import source
from paas.deploy.deploy_lock import refuse_locked
from paas.deploy.operation import announce, operation
from paas.deploy.pipeline import deploy_own, tell_unchanged, unchanged
from paas.deploy.routing.urls import urls
from paas.deploy.session import Session
from paas.deploy.sources.archive import MAX_DEPTH, ArchiveType, Content, Limits, read_archive
from paas.deploy.sources.fetch import spooled
from paas.model.git_url import RemoteUrl
from paas.steps import step
from paas.store.apps import App
from paas.store.drafts import drafted

STDIN = "--"


def deploy_archive(
    session: Session, app: App, kind: ArchiveType, url: RemoteUrl | None, author: source.Author
) -> None:
    """Deploy the archive at a URL, or (None) on standard input. Raises what fetch.py and archive.py raise."""
    place = url.shown if url else STDIN
    with operation(session, app, "git:from-archive", f"{kind} {place}") as running:
        app = running.app
        refuse_locked(session, app)
        console = session.console
        computed = session.properties.computed
        limits = Limits(
            size=int(computed(app.id, "git", "archive-max-size")),
            entries=int(computed(app.id, "git", "archive-max-files")),
        )
        console.step(f"Downloading {kind} file from {place}" if url else f"Fetching {kind} file from stdin")
        repository = session.repository(app)
        branch = source.deploy_branch(session, app)
        repository.create(branch)
        with drafted(repository) as draft:
            with step("receive"), spooled(session, url, limits.size) as file:
                console.step("Generating build context")
                content = read_archive(file, kind, limits, draft)
            _strip(session, kind, content)
            console.step("Updating git repository with specified build context")
            tree = draft.tree(content.files)
            if unchanged(session, app, None, tree.decode()):
                tell_unchanged(session)
                return
            place = url.shown if url else "standard input"
            message = f"Deploy a {kind} archive from {place}\n"
            with step("commit"):
                commit = draft.commit(tree, repository.resolve(branch.ref), author.line(), message)
            deploy_own(session, running, commit)
        announce(session, urls(session, running.app))


def _strip(session: Session, kind: ArchiveType, content: Content) -> None:
    """Let the folder in which everything is be the top: of a tar as many as there are, of a zip one."""
    count = content.strip(1 if kind == "zip" else MAX_DEPTH)
    # Dokku's words, the misspelt one too.
    told = {
        "tar": f"Striping {count} worth of directories from tarball",
        "tar.gz": "Extracting gzipped tarball",
        "zip": "Extracting zipball",
    }
    session.console.detail(told[kind])
    if kind == "zip" and count:
        session.console.detail("Stripping top-level archive folder components")
    else:
        session.console.detail("Moving unarchived files and folders into place")
