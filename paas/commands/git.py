"""git:* — deploys from images and commits, and what the repository of an app says."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from paas.commands.apps import unlock
from paas.commands.base import (
    AppArgument,
    ForceOption,
    FormatOption,
    Group,
    ReportWords,
    no_more,
    session,
    the_app,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy import pipeline
from paas.deploy.source import SOURCE_IMAGE, Author, deploy_branch
from paas.deploy.sources import layers
from paas.deploy.sources.archive import parse_type
from paas.deploy.sources.fetch import archive_url
from paas.deploy.sources.from_archive import STDIN, deploy_archive
from paas.deploy.sources.sync import Build, sync
from paas.errors import PaasError
from paas.model.access import DEPLOY, MANAGE, REPORT, VIEW, Role
from paas.model.git_url import RemoteUrl
from paas.model.image import ImageRef
from paas.model.names import BranchName
from paas.store.apps import App

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

RemoteArgument = Annotated[
    str, typer.Argument(metavar="REMOTE", show_default=False, help="A URL, or user@host:path")
]
RefArgument = Annotated[
    str, typer.Argument(metavar="[REF]", show_default=False, help="A branch, a tag or a commit")
]
ArchiveWords = Annotated[
    list[str] | None, typer.Argument(metavar="APP URL|-- [NAME EMAIL]", show_default=False)
]
ArchiveTypeOption = Annotated[str, typer.Option("--archive-type", metavar="TYPE", help="tar, tar.gz or zip")]

REPORTED = ("archive-max-files", "archive-max-size", "deploy-branch", "keep-git-dir")


class TerminalOnStdin(PaasError):
    """Expecting tar archive containing docker image on STDIN"""


class NoRemote(PaasError):
    """Missing GIT_REMOTE parameter"""


class NoArchive(PaasError):
    """Please specify an archive url or -- to fetch the archive from stdin"""


@group.command("from-image", needs=DEPLOY.unless(Role.ADMIN, "build_dir"))
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


@group.command("load-image", needs=DEPLOY.unless(Role.ADMIN, "build_dir"))
def load_image(
    app: AppArgument = "",
    image: ImageArgument = "",
    name: NameArgument = "",
    email: EmailArgument = "",
    build_dir: BuildDirOption = None,
    force: ForceOption = False,
    in_layers: Annotated[bool, typer.Option("--layers", hidden=True, help="It comes from paas -H")] = False,
) -> None:
    """Deploy a docker image that comes as a docker image save archive on standard input."""
    found, ref, author = the_app(app), ImageRef.parse(image), Author.parse(name, email)
    if sys.stdin.isatty():
        raise TerminalOnStdin()
    archive = open(0, "rb", buffering=0, closefd=False)
    pipeline.deploy_image(session(), found, "git:load-image", ref, author, build_dir, force, archive, in_layers)


@group.command("layers", needs=DEPLOY, hidden=True)
def git_layers(app: AppArgument = "", image: ImageArgument = "") -> None:
    """Say which layers of an image that is described on standard input paas -H need not send."""
    found, ref = the_app(app), ImageRef.parse(image)
    question = layers.read_question(sys.stdin.buffer)
    session().console.print(layers.answer(session(), found, ref, question).to_json())


@group.command("from-archive", raw=True, needs=replace(DEPLOY, no_urls=True))
def from_archive(words: ArchiveWords = None, archive_type: ArchiveTypeOption = "tar") -> None:
    """Deploy a tar, tar.gz or zip archive from a URL, or (--) from standard input."""
    rest = list(words or [])
    # Ours to read: the parser would take -- away.
    if "--archive-type" in rest[:-1]:
        archive_type = rest.pop(rest.index("--archive-type") + 1)
        rest.remove("--archive-type")
    found = the_app(rest[0] if rest else "")
    kind = parse_type(archive_type)
    place, name, email = (*rest[1:], "", "", "")[:3]
    no_more(rest[4:])
    if not place:
        raise NoArchive()
    author = Author.parse(name, email)
    if place == STDIN:
        if sys.stdin.isatty():
            raise NoArchive()
        deploy_archive(session(), found, kind, None, author)
    else:
        deploy_archive(session(), found, kind, archive_url(place), author)


@group.command("sync")
def sync_remote(
    app: AppArgument = "",
    remote: RemoteArgument = "",
    ref: RefArgument = "",
    build: Annotated[bool, typer.Option("--build", help="Deploy what was fetched")] = False,
    build_if_changes: Annotated[bool, typer.Option("--build-if-changes", help="Deploy if it is new")] = False,
    skip_deploy_branch: Annotated[
        bool, typer.Option("--skip-deploy-branch", help="Let the deploy branch be the one it is")
    ] = False,
) -> None:
    """Fetch a branch, a tag or a commit from another repository, and deploy it if --build says so."""
    found = the_app(app)
    if not remote:
        raise NoRemote()
    wanted = BranchName.parse(ref) if ref else ""
    when: Build = "always" if build else "if-changes" if build_if_changes else "no"
    sync(session(), found, RemoteUrl.parse(remote), wanted, when, skip_deploy_branch)


@group.command("initialize", needs=DEPLOY)
def initialize(app: AppArgument = "") -> None:
    """Make the app's repository, which its first push or deploy makes otherwise."""
    found = the_app(app)
    session().console.step_header(f"Initializing git repository for {found.name}")
    session().repository(found).create(deploy_branch(session(), found))


group.command("unlock", needs=DEPLOY)(unlock)
add_set_command(group, "git", word="key", needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def git_report(
    words: ReportWords = None,
    show_format: FormatOption = "stdout",
) -> None:
    """Show an app's git settings and what was deployed last."""
    report("git", words, _flags, show_format=show_format, global_flags=_global_flags)


def _flags(app: App) -> Flags:
    repository = session().repository(app)
    flags = property_flags("git", app, *REPORTED) | _global_flags()
    for key in ("archive-max-files", "archive-max-size"):
        del flags[f"--git-{key}"]
    branch = repository.path / deploy_branch(session(), app).ref
    current = session().releases.find(app.id, app.current_release)
    flags["--git-last-updated-at"] = str(int(branch.stat().st_mtime)) if branch.exists() else ""
    flags["--git-rev-env-var"] = session().properties.computed(app.id, "git", "rev-env-var")
    flags["--git-sha"] = repository.resolve(deploy_branch(session(), app).ref) or ""
    told = session().properties.get(app.id, "git", SOURCE_IMAGE)
    flags["--git-source-image"] = told or ((current.image_name or "") if current else "")
    return flags


def _global_flags() -> Flags:
    return property_flags("git", None, *REPORTED)


@group.command("status", needs=VIEW)
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
