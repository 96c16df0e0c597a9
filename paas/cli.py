"""The Typer app: mounts the command groups, reads global flags, turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import sys
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from paas import trace
from paas.commands import base, unsupported
from paas.commands.base import Command, Group
from paas.commands.help import register_help, unknown_command
from paas.console import Console
from paas.deploy.session import Session
from paas.errors import REFUSED, USAGE, Cancelled, NoRoom, PaasError, UsageError
from paas.gateway import access
from paas.model.access import Need
from paas.model.caller import Caller
from paas.model.names import printable
from paas.plugins import loading
from paas.settings import Settings
from paas.steps import step
from paas.store.properties import GLOBAL
from paas.warm import import_libraries

MODULES = (
    "access",
    "apps",
    "aptible",
    "backup",
    "builder",
    "builds",
    "certs",
    "certs_auto",
    "certs_report",
    "checks",
    "config",
    "config_transfer",
    "cron",
    "disk",
    "docker_options",
    "doctor",
    "domains",
    "events",
    "git",
    "git_auth",
    "git_transport",
    "logs",
    "logs_settings",
    "meta",
    "metrics",
    "network",
    "operations",
    "plugin",
    "ports",
    "proxy",
    "ps",
    "ps_state",
    "registry",
    "releases",
    "repo",
    "resource",
    "run",
    "scheduler",
    "ssh_keys",
    "storage",
    "system",
)
# What the first word of a command may be called, as in Dokku.
ALIASES = {
    "docker-local": "scheduler-docker-local",
    "dockerfile": "builder-dockerfile",
    "herokuish": "builder-herokuish",
    "k3s": "scheduler-k3s",
    "lambda": "builder-lambda",
    "nixpacks": "builder-nixpacks",
    "pack": "builder-pack",
    "rails": "builder-railpack",
}
INTERRUPTED = 130
# What the parser raises for words it can't read; Typer carries its own copy of click in newer versions.
ParseError: Any = typer.BadParameter.__base__
GLOBAL_FLAGS = ("--quiet", "--trace", "--force", "--no-wait")
ANYWHERE_FLAGS = ("--quiet", "--trace", "--no-wait")
TRACE = "trace"
# No app is called so.
REHEARSAL = "-"
FROM_PUSH = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")


@functools.cache
def own_groups() -> dict[str, Group]:
    """The command groups of paas itself, by their word."""
    found: dict[str, Group] = {}
    for name in MODULES:
        module = importlib.import_module(f"paas.commands.{name}")
        for value in vars(module).values():
            if isinstance(value, Group):
                found[value.name] = value
    return found


@functools.cache
def groups() -> dict[str, Group]:
    """All command groups by their word, with those of the plugins that were loaded last."""
    found = {**own_groups(), **added_groups(loading.last())}
    register_help(found, usage)
    base.known.clear()
    base.known.update(sorted(found.items()))
    return dict(base.known)


def added_groups(loaded: loading.Loaded) -> dict[str, Group]:
    """The plugins' groups by their word. A plugin that has none to offer, or another's, is left out of them."""
    found: dict[str, Group] = {}
    for name, plugin in loaded.manager.list_name_plugin():
        try:
            mine = plugin_groups(plugin, {*own_groups(), *found})
        except PaasError as error:
            loaded.broken.setdefault(name, str(error))
        except (Exception, SystemExit) as error:
            loaded.broken.setdefault(name, loading.reason(error))
        else:
            found |= mine
    return found


def plugin_groups(plugin: Any, taken: Container[str]) -> dict[str, Group]:
    """The groups of one plugin, their parsers made. Raises PaasError, and what the plugin's code raises."""
    offered: Sequence[Any] = getattr(plugin, "paas_command_groups", tuple)()
    for group in offered:
        if not isinstance(group, Group):
            raise PaasError("paas_command_groups returned something that is no Group")
        if group.name in taken:
            raise PaasError(f"the commands {printable(group.name)}:* are there already")
        for command in group.commands:
            if command.name.partition(":")[0] != group.name:
                raise PaasError(f"{printable(command.name)} does not belong to {printable(group.name)}:*")
            _parser(command)
    return {group.name: group for group in offered}


def refresh(settings: Settings | None) -> None:
    """Load the plugins, again where one has changed, and know their commands."""
    global _generation
    loaded = loading.current(settings)
    if loaded is not _generation:
        _generation = loaded
        groups.cache_clear()
        commands.cache_clear()


_generation: loading.Loaded | None = None


@functools.cache
def commands() -> dict[str, Command]:
    """All commands by their whole name."""
    return {command.name: command for group in groups().values() for command in group.commands}


class _Gated(TyperCommand):
    """A command behind the gate: its words are read, then it is decided who may, then its function runs."""

    needs: Need

    def invoke(self, ctx: Any) -> Any:
        asked = access.Asked.of(self, ctx.params)
        session = base.session()
        with step("access"):
            session.reach = access.admit(
                lambda: session.database, session.caller, str(self.name), self.needs, asked
            )
        return super().invoke(ctx)


def parser(name: str) -> Any:
    """The parser of one command, made by Typer from its function's signature."""
    return _parser(commands()[name])


@functools.cache
def _parser(command: Command) -> Any:
    name = command.name
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    settings = {"help_option_names": ["--help"], "max_content_width": 100}
    if command.raw:
        settings |= {"allow_interspersed_args": False, "ignore_unknown_options": False}
    elif command.options_pass:
        settings |= {"ignore_unknown_options": True}
    app.command(name, cls=_Gated, context_settings=settings)(command.function)
    made: Any = typer.main.get_command(app)
    made.needs = command.needs
    return made


def usage(command: Command) -> str:
    """A command's name and its arguments, as help lists it."""
    words = [item for item in _parser(command).params if item.param_type_name == "argument"]
    return " ".join([command.name, *(item.metavar or item.name.upper() for item in words)])


def warm(settings: Settings) -> None:
    """Import everything and build the parsers, so that a forked child starts at once."""
    refresh(settings)
    for name in commands():
        parser(name)
    # What Typer puts off until the first command line is read.
    parser("apps:list").make_context("apps:list", [])
    import_libraries()
    from paas.router import binary

    # Which HAProxy there is stays known to the children.
    binary.missing()
    for name, why in loading.last().broken.items():
        Console().warn(f"The plugin {name} is left out: {why}")


def before_command(settings: Settings) -> None:
    """What the dispatcher does before it forks: with other plugins than before, the children find them loaded."""
    if loading.current(settings) is not _generation:
        refresh(settings)
        for name in commands():
            parser(name)


def rehearse(settings: Settings) -> None:
    """Do for nothing what most commands begin with. Python puts much off until it is first done, and a forked process has
    each page of memory copied when it first writes to it: done before a command is there, nobody waits for that."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        contextlib.suppress(Exception),
    ):
        main(["apps:exists", REHEARSAL], Caller(REHEARSAL, "host"))
        base.session().disconnect()
        trace.end()
        from paas.engine.client import rehearse as ask_engine

        ask_engine(settings.docker_host)


def main(words: list[str], caller: Caller) -> int:
    """Run one command in this process, print what it says, and return its exit code."""
    with trace.timed("command"):
        return _main(words, caller)


def _main(words: list[str], caller: Caller) -> int:
    console = Console()
    try:
        for name in FROM_PUSH:
            if caller.door == "hook" and name in caller.environment:
                os.environ[name] = caller.environment[name]
        settings = Settings.from_environment()
        with step("plugins"):
            refresh(settings)
        line = split(words)
        console.quiet = line.quiet
        session = Session(settings, caller, console)
        session.waits &= not line.no_wait
        base.begin(session, line.aptible, line.environment)
        if line.trace or _traced(session):
            trace.begin(console.err)
        return _run(line.name, line.words, console)
    except ParseError as error:
        console.warn(_usage(error))
        return USAGE
    except PaasError as error:
        for text in error.lines:
            console.warn(text)
        return error.exit_code
    except ValueError as error:
        if "PAAS_" not in str(error):
            raise
        console.warn(f"{error}. Nothing was done. Mend the setting, then try again")
        return USAGE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        for text in NoRoom(path=error.filename or "the disk of PAAS_ROOT").lines:
            console.warn(text)
        return REFUSED
    except Cancelled as error:
        with contextlib.suppress(Cancelled):
            console.warn(f"Cancelled ({error.reason}). Nothing was changed")
        return INTERRUPTED


def _traced(session: Session) -> bool:
    """Whether the push said so, or trace:on for all commands. One that can't read its database says so when it needs it."""
    if TRACE in session.caller.push_options:
        return True
    if not session.settings.database_path.exists():
        return False
    try:
        return session.properties.get(GLOBAL, "trace", "enabled") == "true"
    except PaasError:
        return False


@dataclass
class CommandLine:
    """A command's name and its own words, with what was said globally taken out of them.

    `aptible`: the app was named by ``--app`` after the command, as Aptible's users do. `environment` None: not given.
    """

    name: str
    words: list[str]
    quiet: bool = False
    no_wait: bool = False
    trace: bool = False
    aptible: bool = False
    environment: str | None = None


def split(words: list[str]) -> CommandLine:
    """Find the command among the global flags.

    As in Dokku, flags before the name are global; `--app X` becomes the first word after the name; `--quiet`, `--trace`,
    `--no-wait`, `--app` and `--environment` count wherever they stand, but for commands that pass their words on only right after
    the name.
    """
    rest = list(words)
    before: list[str] = []
    app: list[str] = []
    labels: list[str] = []
    while rest and rest[0].startswith("--"):
        flag = rest.pop(0)
        if flag == "--app" and rest:
            app = [rest.pop(0)]
        elif flag in ("--version", "--help"):
            return CommandLine(flag.removeprefix("--"), rest)
        elif flag.startswith("--label="):
            labels.append(flag)
        else:
            before.append(flag)
    name = rest.pop(0) if rest else "help"
    line = CommandLine("version" if name == "-v" else _whole(name), [])
    command = commands().get(line.name)
    raw = command is not None and command.raw
    named = _take(rest, "--app", raw)
    # run has an --env of its own, and takes the labels that Dokku's users give before it.
    own_env = _takes(line.name, "--env")
    line.environment = _take(rest, "--environment", raw) or (None if own_env else _take(rest, "--env", raw))
    before += [] if _takes(line.name, "--label") else labels
    line.aptible = named is not None
    if not raw:
        before += [word for word in rest if word in ANYWHERE_FLAGS]
        rest = [word for word in rest if word not in ANYWHERE_FLAGS]
    unknown = [flag for flag in before if flag not in GLOBAL_FLAGS]
    if unknown:
        raise UsageError(f"No such option: {printable(unknown[0])}")
    force = ["--force"] if "--force" in before and _takes(line.name, "--force") else []
    line.words = [*force, *labels, *([named] if named is not None else app), *rest]
    line.quiet = "--quiet" in before
    line.no_wait = "--no-wait" in before
    line.trace = "--trace" in before
    return line


def _whole(name: str) -> str:
    """The name with a first word that is only another one's alias."""
    group, colon, command = name.partition(":")
    return f"{ALIASES.get(group, group)}{colon}{command}"


def _take(words: list[str], flag: str, only_first: bool) -> str | None:
    """Remove ``flag VALUE`` or ``flag=VALUE`` from the words and return the value."""
    for position, word in enumerate(words[:1] if only_first else words):
        if word == "--":
            return None
        if word == flag and position + 1 < len(words):
            del words[position]
            return words.pop(position)
        if word.startswith(f"{flag}="):
            return words.pop(position).partition("=")[2]
    return None


def _takes(name: str, option: str) -> bool:
    return name in commands() and any(option in parameter.opts for parameter in parser(name).params)


def _run(name: str, words: list[str], console: Console) -> int:
    if name in groups() and name not in commands():
        name = groups()[name].bare or f"{name}:help"
    if name not in commands():
        why = unsupported.reason(name)
        return unsupported.refuse(name, why, console) if why else unknown_command(name, console)
    try:
        code = parser(name).main(words, prog_name=f"paas {name}", standalone_mode=False)
    finally:
        console.end_live()
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _usage(error: Any) -> str:
    text = " ".join(printable(error.format_message(), 300).split()).rstrip(".")
    name = error.ctx.info_name if error.ctx else None
    return f"{text}. See {name} --help" if name else f"{text}. See paas help"
