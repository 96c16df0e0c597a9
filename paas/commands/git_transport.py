"""What git itself asks for: the transport commands of a push or fetch, and the hook that deploys."""

from __future__ import annotations

import re
import sys
import time
from typing import Annotated

import typer

from paas.commands.base import Group, session
from paas.deploy import pipeline, plugged
from paas.deploy.accept import Push, accepted, finish, settle_branch
from paas.deploy.operation import record_push
from paas.deploy.source import DEFAULT_BRANCH, deploy_branch
from paas.deploy.sources.space import ensure_any_space
from paas.errors import AppNotFound, NameTaken, PaasError
from paas.gateway.git_transport import Service, run_git_service
from paas.model.access import ANYONE, Finds, Need, Role
from paas.model.names import AppName, BranchName, printable
from paas.store.apps import App
from paas.store.incoming import check_incoming
from paas.store.properties import GLOBAL

group = Group("git-transport", "What git asks for")

ZERO = "0" * 40
_CHANGE = re.compile(r"[0-9a-f]{40} ([0-9a-f]{40}) (refs/(?:heads|tags)/(.*))", re.DOTALL)
PathArgument = Annotated[str, typer.Argument(metavar="PATH")]
# Either is what people call their main branch; the first one that is pushed stays the deploy branch.
USUAL_BRANCHES = ("master", "main")


class DeletionRefused(PaasError):
    """{branch} is the deploy branch of {app} and can't be deleted. Nothing was changed. Choose another one first: git:set {app} deploy-branch NAME"""


class InvalidRef(PaasError):
    """{ref} is no branch (refs/heads/...) and no tag (refs/tags/...). Nothing was changed. Push only those"""


class AutoCreationDisabled(PaasError):
    """App auto-creation disabled.
    Re-enable app auto-creation or create an app with 'paas apps:create APP'"""


class NoLfsServer(PaasError):
    """paas keeps no Git LFS content: it comes from the remote of git:sync --build. Nothing was changed. To push without it: GIT_LFS_SKIP_PUSH=1 git push ..."""


@group.command(":git-lfs-authenticate", ":git-lfs-transfer", hidden=True, needs=ANYONE)
def lfs(words: Annotated[list[str], typer.Argument(metavar="PATH OPERATION")]) -> None:
    """What git-lfs asks for before a push; there is no such server here."""
    raise NoLfsServer()


@group.command(":git-receive-pack", hidden=True, needs=Need(Role.DEPLOY, Finds.REPOSITORY))
def receive_pack(path: PathArgument) -> int:
    """Take a push; an app that does not exist is made."""
    ensure_any_space(session())
    name = AppName.from_repository_path(path)
    app = session().apps.find(name)
    if app is None:
        if not session().reach.everything:
            raise AppNotFound(app=name)
        if session().properties.computed(GLOBAL, "app", "disable-autocreation") == "true":
            raise AutoCreationDisabled()
        try:
            app = plugged.create_app(session(), name, "by a push")
        except NameTaken:  # by another push at the same moment
            app = session().apps.get(name)
    return _serve("git-receive-pack", app, int(session().properties.computed(app.id, "git", "push-max-size")))


@group.command(":git-upload-pack", hidden=True, needs=Need(Role.VIEW, Finds.REPOSITORY))
def upload_pack(path: PathArgument) -> int:
    """Answer a fetch or clone."""
    name = AppName.from_repository_path(path)
    app = session().apps.find(name)
    if app is None:
        raise AppNotFound(app=name)
    return _serve("git-upload-pack", app)


def _serve(service: Service, app: App, max_bytes: int = 0) -> int:
    repository = session().repository(app)
    repository.create(deploy_branch(session(), app))
    finish(session(), app)
    began = time.monotonic()
    code, told = run_git_service(session().settings, service, repository.path, session().caller, max_bytes)
    if told and code == 0:
        accepted(session(), app)
    for item in told:
        record_push(session(), began, item)
    return code


@group.command(":git-hook", hidden=True, needs=Need(Role.DEPLOY, hook=True))
def hook(name: PathArgument) -> None:
    """Deploy what a push brings; called by hooks/pre-receive with the refs on standard input."""
    app = session().apps.get(AppName.parse(name))
    changes = [_change(line) for line in sys.stdin.read().removesuffix("\n").split("\n")]
    limit = int(session().properties.computed(app.id, "git", "push-max-objects"))
    check_incoming(session().repository(app), app.name, limit)
    for new, ref in changes:
        _receive(app, new, ref)


def _change(line: str) -> tuple[str, str]:
    """The new commit and the ref of a line. git checks names only after this hook.

    Raises InvalidRef and InvalidBranch.
    """
    match = _CHANGE.fullmatch(line)
    if match is None:
        raise InvalidRef(ref=printable(line.rpartition(" ")[2]))
    new, ref, name = match.groups()
    # What came in before these rules may still be deleted.
    if new != ZERO:
        BranchName.parse(name)
    return new, ref


def _receive(app: App, new: str, ref: str) -> None:
    branch = _deploy_branch(app, ref)
    if ref not in (f"refs/heads/{branch}", f"refs/tags/{branch}"):
        if new != ZERO:
            _tell_how_to_deploy(app, ref, branch)
        return
    if new == ZERO:
        raise DeletionRefused(branch=branch, app=app.name)
    commit = session().repository(app).resolve(new)
    if commit is None:
        raise PaasError(
            f"{printable(ref)} is no commit. Nothing was deployed. Push a branch or a tag of a commit"
        )
    pipeline.deploy_pushed(session(), app, Push(branch, ref, commit))
    settle_branch(session(), app, branch)


def _deploy_branch(app: App, ref: str) -> BranchName:
    """The app's deploy branch; while none is set and nothing was deployed, master and main both are."""
    branch = deploy_branch(session(), app)
    pushed = ref.removeprefix("refs/heads/")
    chosen = session().properties.computed(app.id, "git", "deploy-branch", "")
    first = not chosen and session().repository(app).resolve(f"refs/heads/{DEFAULT_BRANCH}") is None
    return BranchName(pushed) if first and pushed in USUAL_BRANCHES else branch


def _tell_how_to_deploy(app: App, ref: str, branch: str) -> None:
    name = printable(ref.removeprefix("refs/heads/"))
    console = session().console
    console.step(f"Stored {name}, not deployed: the deploy branch of {app.name} is {branch}")
    console.detail(f"Deploy it with: git push <remote> {name}:{branch}")
    console.detail(f"or make it the deploy branch, then push again: git:set {app.name} deploy-branch {name}")
