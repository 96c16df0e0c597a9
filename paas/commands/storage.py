"""storage:* — places of the host that outlive an app's containers."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Annotated

import typer

from paas.commands.base import (
    AppArgument,
    ForceOption,
    FormatOption,
    Group,
    ReportWords,
    confirm,
    no_more,
    recorded,
    session,
    the_app,
    wants_json,
)
from paas.commands.report import Flags, report
from paas.deploy.containers import storage, storage_exec
from paas.errors import PaasError, UsageError
from paas.model import storage as model
from paas.model.access import REPORT, VIEW
from paas.model.names import ProcessType, printable
from paas.model.storage import EVERY_TYPE, Attachment, Entry
from paas.store.apps import App

group = Group("storage", "Manage mounted volumes")

ONLY_K3S = (
    "--size",
    "--access-mode",
    "--storage-class-name",
    "--namespace",
    "--reclaim-policy",
    "--annotation",
    "--label",
)

Words = Annotated[list[str] | None, typer.Argument(metavar="NAME [PATH]", show_default=False)]
SetWords = Annotated[list[str] | None, typer.Argument(metavar="NAME chown|mode [VALUE]", show_default=False)]
EntryArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The entry's name")]
MountWords = Annotated[
    list[str] | None,
    typer.Argument(metavar="APP HOST:CONTAINER[:OPTIONS]|ENTRY", show_default=False),
]
ChownOption = Annotated[
    str, typer.Option("--chown", metavar="OWNER", help="herokuish, heroku, paketo, root, false or an id")
]
ModeOption = Annotated[str, typer.Option("--mode", metavar="MODE", help="Three octal digits")]
SchedulerOption = Annotated[str, typer.Option("--scheduler", metavar="NAME", help="docker-local")]
ContainerDir = Annotated[str, typer.Option("--container-dir", metavar="PATH", help="Where the app sees it")]
PhaseOption = Annotated[
    list[str] | None, typer.Option("--phase", metavar="PHASE", help="deploy or run; both without it")
]
TypeOption = Annotated[str, typer.Option("--process-type", metavar="TYPE", help="Only in this type")]


class OnlyK3s(PaasError):
    """{option} is for k3s, which paas does not use: one host runs the apps. Nothing was changed"""


class EntryMissing(PaasError):
    """storage entry name is required"""


class ContainerDirMissing(PaasError):
    """--container-dir is required to mount the storage entry {entry}. Nothing was changed"""


class NotWithPath(PaasError):
    """{option} goes with the name of a storage entry, not with HOST:CONTAINER. Nothing was changed"""


class InvalidKey(PaasError):
    """Invalid property specified, valid properties include: chown, mode"""


@group.command("mount", options_pass=True)
def mount(
    words: MountWords = None,
    container_dir: ContainerDir = "",
    phase: PhaseOption = None,
    process_type: TypeOption = "",
    subpath: Annotated[
        str, typer.Option("--volume-subpath", metavar="PATH", help="A folder of the entry")
    ] = "",
    readonly: Annotated[bool, typer.Option("--volume-readonly", help="The app can't write")] = False,
    options: Annotated[str, typer.Option("--volume-options", metavar="A,B", help="As docker -v takes")] = "",
    chown: Annotated[str, typer.Option("--volume-chown", metavar="OWNER", help="As --chown")] = "",
) -> None:
    """Mount a storage entry, a path of the host or a Docker volume into an app, from its next start on."""
    app, place = _app_and_place(words)
    if _is_path(place):
        named = {
            "--container-dir": container_dir,
            "--phase": phase,
            "--process-type": process_type,
            "--volume-subpath": subpath,
            "--volume-readonly": readonly,
            "--volume-options": options,
            "--volume-chown": chown,
        }
        for option in (name for name, given in named.items() if given):
            raise NotWithPath(option=option)
        item = Attachment.parse(place)
        with recorded(app, "storage:mount", item.mount):
            storage.mount(session(), app, item)
        return
    entry = storage.store(session()).get(place)
    if not container_dir:
        raise ContainerDirMissing(entry=entry.name)
    words_of = [word for word in model.mount_options(options) if word != "ro"] if options else []
    if chown:
        model.owner(chown)
    item = Attachment(
        entry.name,
        entry.host_path,
        model.container_path(container_dir),
        model.phases(phase or []),
        ProcessType.parse(process_type) if process_type not in ("", EVERY_TYPE) else EVERY_TYPE,
        model.relative_path(subpath) if subpath else "",
        readonly or "ro" in options.split(","),
        ",".join(words_of),
        chown,
    )
    with recorded(app, "storage:mount", f"{entry.name} {item.container_path}"):
        new = storage.mount_entry(session(), app, item)
    place = f"{entry.name} at {item.container_path} in {app.name}"
    session().console.step(f"Mounted {place}" if new else f"Updated the mount of {place}")


@group.command("unmount", options_pass=True)
def unmount(
    words: MountWords = None, container_dir: ContainerDir = "", process_type: TypeOption = ""
) -> None:
    """Take a mount away from an app, from its next start on."""
    app, place = _app_and_place(words)
    if _is_path(place):
        item = Attachment.parse(place)
        with recorded(app, "storage:unmount", item.mount):
            storage.unmount(session(), app, item)
        return
    entry = storage.store(session()).get(place)
    where = model.container_path(container_dir) if container_dir else ""
    with recorded(app, "storage:unmount", f"{entry.name} {where}".rstrip()):
        storage.unmount_entry(session(), app, entry.name, where, process_type)
    session().console.step(f"Unmounted {entry.name} from {app.name}")


def _app_and_place(words: list[str] | None) -> tuple[App, str]:
    rest = _without_options(words)
    app = the_app(rest[0] if rest else "")
    no_more(rest[2:])
    if len(rest) < 2 or not rest[1]:
        raise model.InvalidMount()
    return app, rest[1]


def _is_path(place: str) -> bool:
    return ":" in place or place.startswith("/")


def _without_options(words: list[str] | None) -> list[str]:
    """The words; options that nobody declared are refused, those for k3s by name."""
    for word in words or []:
        if word.partition("=")[0] in ONLY_K3S:
            raise OnlyK3s(option=word.partition("=")[0])
        if word.startswith("-") and word != "-":
            raise UsageError(f"No such option: {printable(word)}")
    return list(words or [])


@group.command("list", needs=VIEW)
def list_mounts(app: AppArgument = "", show_format: FormatOption = "text") -> None:
    """List what is mounted in an app's processes."""
    found = the_app(app)
    console = session().console
    mounts = [item for item in storage.store(session()).mounts(found.id) if model.DEPLOY in item.phases]
    if wants_json(show_format):
        console.json([item.listed() for item in mounts])
        return
    console.step_header(f"{found.name} volume bind-mounts:")
    for item in mounts:
        _detail(item.mount)


def _detail(text: str) -> None:
    """A line of a list, which --quiet leaves without its indent."""
    console = session().console
    (console.print if console.quiet else console.detail)(text)


@group.command("ensure-directory")
def ensure_directory(
    directory: Annotated[str, typer.Argument(metavar="DIR", show_default=False)] = "",
    chown: ChownOption = "herokuish",
) -> None:
    """Make a folder for storage (deprecated, use storage:create)."""
    console = session().console
    console.warn("Deprecated: please use 'storage:create' instead of 'storage:ensure-directory'")
    name = model.directory(directory)
    owner = model.owner(chown)
    path = storage.base(session()) / name
    console.step(f"Ensuring {path} exists")
    if owner is not None:
        console.detail(f"Setting directory ownership to {owner}:{owner}")
    with recorded(None, "storage:ensure-directory", name):
        storage.ensure_directory(session(), path, chown)
    console.detail("Directory ready for mounting")


@group.command("create", options_pass=True)
def create(
    words: Words = None, chown: ChownOption = "", mode: ModeOption = "", scheduler: SchedulerOption = ""
) -> None:
    """Give a path of the host (below the storage folder where none is named) or a Docker volume a name."""
    rest = _without_options(words)
    no_more(rest[2:])
    _only_here(scheduler)
    if not rest or not rest[0]:
        raise EntryMissing()
    name = model.entry_name(rest[0])
    place = model.host_path(rest[1]) if len(rest) > 1 else str(storage.base(session()) / name)
    entry = _with_rights(Entry(name, place), chown, mode)
    with recorded(None, "storage:create", f"{name} {place}"):
        new = storage.create(session(), entry)
    if new:
        session().console.step(f"Storage entry {name} created")
    else:
        session().console.step_header(f"Storage entry {name} already exists, leaving in place")


def _only_here(scheduler: str) -> None:
    if scheduler not in ("", model.SCHEDULER):
        raise OnlyK3s(option=f"--scheduler {printable(scheduler)}")


def _with_rights(entry: Entry, chown: str, mode: str) -> Entry:
    """The entry with what was given of both, which is checked."""
    if chown:
        model.owner(chown)
    if mode:
        model.mode(mode)
    return replace(entry, chown=chown or entry.chown, mode=mode or entry.mode)


@group.command("set", options_pass=True)
def set_property(words: SetWords = None, chown: ChownOption = "", mode: ModeOption = "") -> None:
    """Change an entry's owner or mode."""
    rest = _without_options(words)
    entry = storage.store(session()).get(rest[0] if rest else "")
    key, value = (*rest[1:], "", "")[:2]
    no_more(rest[3:])
    if key not in ("chown", "mode") and (key or not (chown or mode)):
        raise InvalidKey()
    if entry.name.startswith(model.LEGACY):
        raise model.InvalidEntryName(name=entry.name)
    if key and not value:
        changed = replace(entry, **{key: ""})
    else:
        changed = _with_rights(entry, value if key == "chown" else chown, value if key == "mode" else mode)
    with recorded(None, "storage:set", f"{entry.name} {key}".rstrip()):
        storage.change(session(), changed)
    session().console.step(f"Storage entry {entry.name} updated")


@group.command("destroy")
def destroy(
    name: EntryArgument = "",
    force: ForceOption = False,
    with_folder: Annotated[
        bool, typer.Option("--destroy-host-dir", help="Also remove the folder with all that is in it")
    ] = False,
) -> None:
    """Forget a storage entry that no app mounts."""
    entry = storage.store(session()).get(name)
    storage.check_unused(session(), entry)
    if not force:
        confirm("storage entry", entry.name)
    with recorded(None, "storage:destroy", entry.name):
        storage.destroy(session(), entry, with_folder)
    session().console.step(f"Storage entry {entry.name} destroyed")


@group.command("info")
def info(name: EntryArgument = "", show_format: FormatOption = "text") -> None:
    """Show a storage entry."""
    entry = storage.store(session()).get(name)
    console = session().console
    if wants_json(show_format):
        console.print(json.dumps(entry.document(), indent=2, ensure_ascii=False))
        return
    console.step_header(f"Storage entry {entry.name}")
    console.detail(f"Scheduler:        {model.SCHEDULER}")
    console.detail(f"Host path:        {entry.host_path}")
    if entry.chown:
        console.detail(f"Chown:            {entry.chown}")
    if entry.mode:
        console.detail(f"Mode:             {entry.mode}")


@group.command("list-entries")
def list_entries(scheduler: SchedulerOption = "", show_format: FormatOption = "text") -> None:
    """List storage entries, those of mounts by path too."""
    _inventory(wants_json(show_format), scheduler in ("", model.SCHEDULER))


def _inventory(as_json: bool, any_at_all: bool = True, with_apps: bool = False) -> None:
    console, store = session().console, storage.store(session())
    entries = store.entries() if any_at_all else []
    if as_json:
        shown = [
            {"entry": entry.document(), "mounted_by": store.apps_using(entry.name)}
            if with_apps
            else entry.document()
            for entry in entries
        ]
        console.print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    if not entries:
        console.step_header("No storage entries registered")
        return
    console.step_header("Storage report (global):" if with_apps else "Storage entries:")
    for entry in entries:
        last = (
            f"mounted by: {', '.join(store.apps_using(entry.name)) or '—'}" if with_apps else entry.host_path
        )
        console.detail(f"{entry.name}\t{model.SCHEDULER}\t{last}")


@group.command("report", options_pass=True, needs=REPORT)
def storage_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show an app's mounts, or with --global all entries and who mounts them."""
    if "--global" in (words or []):
        no_more(word for word in words or [] if word != "--global")
        _inventory(wants_json(show_format), with_apps=True)
        return
    report("storage", words, _flags, True, show_format)


def _flags(app: App) -> Flags:
    mounts = storage.store(session()).mounts(app.id)
    flags = {
        f"--storage-{phase}-mounts": " ".join(f"-v {item.mount}" for item in mounts if phase in item.phases)
        for phase in ("build", *model.PHASES)
    }
    for number, item in enumerate(mounts, 1):
        values = {
            "entry-name": item.entry_name,
            "host-path": item.host_path,
            "container-path": item.container_path,
            "phases": ",".join(item.phases),
            "process-type": item.process_type,
            "subpath": item.subpath,
            "readonly": str(item.readonly).lower(),
            "volume-options": item.volume_options,
            "volume-chown": item.volume_chown,
        }
        flags |= {f"--storage-attachment.{number}.{key}": value for key, value in values.items()}
    return flags


@group.command("exec")
def exec_command(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="NAME [-- COMMAND…]", show_default=False)
    ] = None,
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="Not an app's that mounts it")] = "",
    user: Annotated[str, typer.Option("--as-user", metavar="USER", help="As whom")] = "",
) -> int:
    """Run a command, or a shell, in a throw-away container that has a storage entry at /data."""
    name, *command = words or [""]
    entry = storage.store(session()).get(name)
    return storage_exec.run(session(), entry, command, image, user, os.isatty(0))
