"""git:* — deploys from images and commits, and what the repository of an app says."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from paas.commands.base import AppArgument, ForceOption, FormatOption, Group, session, the_app
from paas.commands.report import Flags, report
from paas.deploy import pipeline
from paas.deploy.source import Author, deploy_branch
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import BranchName
from paas.store.apps import App
from paas.store.properties import GLOBAL

group = Group("git", "Manage app deploys via git")

ImageArgument = Annotated[
    str, typer.Argument(metavar="IMAGE", show_default=False, help="As docker pull takes it")
]
NameArgument = Annotated[str, typer.Argument(metavar="[NAME", show_default=False, help="The commit's author")]
EmailArgument = Annotated[
    str, typer.Argument(metavar="EMAIL]", show_default=False, help="The author's e-mail")
]
BuildDirOption = Annotated[
    str | None, typer.Option("--build-dir", metavar="DIR", help="A folder on the server to build with")
]

DEFAULTS = {
    "archive-max-files": "10000",
    "archive-max-size": "1073741824",
    "deploy-branch": "master",
    "keep-git-dir": "false",
}
KEYS = (*sorted(DEFAULTS), "rev-env-var", "source-image")


class TerminalOnStdin(PaasError):
    """Expecting tar archive containing docker image on STDIN"""


class NoKey(PaasError):
    """No key specified"""


class InvalidKey(PaasError):
    """Invalid key specified, valid keys include: archive-max-files, archive-max-size, deploy-branch, keep-git-dir, rev-env-var, source-image"""


@group.command("from-image")
def from_image(
    app: AppArgument = "",
    image: ImageArgument = "",
    name: NameArgument = "",
    email: EmailArgument = "",
    build_dir: BuildDirOption = None,
    force: Annotated[bool, typer.Option("--force", help="Pull and deploy in any case")] = False,
) -> None:
    """Deploy a docker image."""
    found, ref, author = the_app(app), ImageRef.parse(image), Author.parse(name, email)
    pipeline.deploy_image(session(), found, "git:from-image", ref, author, build_dir, force)


@group.command("load-image")
def load_image(
    app: AppArgument = "",
    image: ImageArgument = "",
    name: NameArgument = "",
    email: EmailArgument = "",
    build_dir: BuildDirOption = None,
    force: ForceOption = False,
) -> None:
    """Deploy a docker image that comes as a docker image save archive on standard input."""
    found, ref, author = the_app(app), ImageRef.parse(image), Author.parse(name, email)
    if sys.stdin.isatty():
        raise TerminalOnStdin()
    archive = open(0, "rb", buffering=0, closefd=False)
    pipeline.deploy_image(session(), found, "git:load-image", ref, author, build_dir, force, archive)


@group.command("set")
def set_property(
    app: Annotated[str, typer.Argument(metavar="APP|--global", show_default=False)] = "",
    key: Annotated[str, typer.Argument(metavar="KEY", show_default=False)] = "",
    value: Annotated[str, typer.Argument(metavar="[VALUE]", show_default=False)] = "",
    everywhere: Annotated[bool, typer.Option("--global", help="For all apps")] = False,
) -> None:
    """Set or clear a git property of an app."""
    if everywhere:
        app_id, key, value = GLOBAL, app, key
    else:
        app_id = the_app(app).id
    if not key:
        raise NoKey()
    if key not in KEYS:
        raise InvalidKey()
    if key == "deploy-branch" and value:
        value = BranchName.parse(value)
    session().properties.set(app_id, "git", key, value)
    session().console.header(f"Setting {key} to {value}" if value else f"Unsetting {key}")


@group.command("report", options_pass=True)
def git_report(
    words: Annotated[list[str] | None, typer.Argument(metavar="[APP] [--flag]", show_default=False)] = None,
    show_format: FormatOption = "stdout",
) -> None:
    """Show an app's git settings and what was deployed last."""
    report("git", words or [], _flags, show_format=show_format)


def _flags(app: App) -> Flags:
    properties, repository = session().properties, session().repository(app)
    flags: Flags = {}
    for key, default in DEFAULTS.items():
        flags[f"--git-computed-{key}"] = properties.computed(app.id, "git", key, default)
        flags[f"--git-global-{key}"] = properties.get(GLOBAL, "git", key)
    for key in ("deploy-branch", "keep-git-dir"):
        flags[f"--git-{key}"] = properties.get(app.id, "git", key)
    branch = repository.path / deploy_branch(session(), app).ref
    current = session().releases.find(app.id, app.current_release)
    flags["--git-last-updated-at"] = str(int(branch.stat().st_mtime)) if branch.exists() else ""
    flags["--git-rev-env-var"] = properties.get(app.id, "git", "rev-env-var", "GIT_REV")
    flags["--git-sha"] = repository.resolve(deploy_branch(session(), app).ref) or ""
    flags["--git-source-image"] = (current.image_name or "") if current else ""
    return flags


@group.command("status")
def status(app: AppArgument = "") -> None:
    """Show an app's branches and which commit is deployed."""
    found = the_app(app)
    repository = session().repository(found)
    current = session().releases.find(found.id, found.current_release)
    branch = deploy_branch(session(), found)
    console = session().console
    rows = [("Branch", "Commit", "")]
    for name, commit in repository.branches().items():
        marks = ["deploy branch"] if name == branch else []
        if current and current.commit == commit:
            marks.append(f"deployed as {current.label}")
        rows.append((name, commit[:12], ", ".join(marks)))
    if len(rows) == 1:
        console.warn(f"App {found.name} has no commits yet. Deploy an image with git:from-image, or push")
        return
    console.table(rows)
