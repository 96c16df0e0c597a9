"""What all command groups share: registration, the session, arguments that mean the same everywhere."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from paas.deploy.session import Session
from paas.errors import AppNotFound, AppNotSpecified, PaasError, UsageError
from paas.model.access import ADMIN, Need
from paas.model.names import printable
from paas.store.apps import App

AppArgument = Annotated[str, typer.Argument(metavar="APP", show_default=False, help="The app's name")]
GlobalOption = Annotated[bool, typer.Option("--global", help="For all apps")]
ReportWords = Annotated[
    list[str] | None, typer.Argument(metavar="[APP|--global] [--FLAG]", show_default=False)
]
FormatOption = Annotated[str, typer.Option("--format", metavar="FORMAT", help="stdout or json")]
AllOption = Annotated[bool, typer.Option("--all", help="Every app")]
ForceOption = Annotated[bool, typer.Option("--force", help="Do not ask")]
NumberOption = Annotated[int, typer.Option("--num", "-n", metavar="N", min=1, max=10_000, help="How many")]


class EnvironmentNotFound(PaasError):
    """Could not find environment {environment} (options provided via CLI arguments)"""


class AppNotInEnvironment(AppNotFound):
    """Could not find app {app} in environment {environment} (options provided via CLI arguments)"""


class NotConfirmed(PaasError):
    """Confirmation did not match {name}. Aborted."""


class InvalidFormat(PaasError):
    """Format must be "stdout" or "json": "{given}\""""


@dataclass(frozen=True)
class Command:
    """One command: its whole name (``apps:create``), the function behind it, and how its words are read.

    `raw` commands take the words after their own as they are, options included. `options_pass` commands get
    options that they do not know as words. `hidden` ones are not listed. `needs`: who may run it; a command that does
    not say is the administrators'.
    """

    name: str
    function: Callable[..., object]
    raw: bool = False
    options_pass: bool = False
    hidden: bool = False
    needs: Need = ADMIN

    @property
    def summary(self) -> str:
        """The first line of the function's docstring: what help prints."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0].rstrip(".")


# Every group there is, by its word, for commands about commands; the program fills it.
known: dict[str, Group] = {}


@dataclass
class Group:
    """Commands that begin with the same word. `bare` is what the word alone does, help where it is None."""

    name: str
    summary: str
    bare: str | None = None
    commands: list[Command] = field(default_factory=list)

    def command(
        self,
        name: str,
        *aliases: str,
        needs: Need = ADMIN,
        raw: bool = False,
        options_pass: bool = False,
        hidden: bool = False,
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Register a function as ``GROUP:name`` (or as the whole name when it starts with a colon)."""

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            for position, item in enumerate((name, *aliases)):
                whole = item[1:] if item.startswith(":") else f"{self.name}:{item}"
                self.commands.append(
                    Command(whole, function, raw, options_pass, hidden or position > 0, needs)
                )
            return function

        return register


_session: Session | None = None
_aptible = False
_environment: str | None = None


def begin(session: Session, aptible: bool = False, environment: str | None = None) -> None:
    """Set the session of the command that this process runs, whether it names its app as Aptible's users do
    (``--app`` after the command), and the --environment that was given."""
    global _session, _aptible, _environment
    _session, _aptible, _environment = session, aptible, environment


def aptible_style() -> bool:
    """Whether the app was named by ``--app`` after the command."""
    return _aptible


def environment() -> str | None:
    """The --environment of the command, None where none was given."""
    return _environment


def session() -> Session:
    """The session of the command that this process runs."""
    assert _session is not None  # noqa: S101 - cli.main began it
    return _session


def the_app(name: str) -> App:
    """The app of an APP argument. Raises AppNotSpecified or AppNotFound (20)."""
    if not name:
        raise AppNotSpecified()
    wanted = environment()
    if wanted is not None:
        known = environments()
        if wanted not in known:
            raise EnvironmentNotFound(environment=printable(wanted))
        if name not in known[wanted]:
            raise AppNotInEnvironment(app=printable(name), environment=wanted)
    found = session().apps.find(name)
    # The second lock behind the gate's: whatever a command does with its words, it gets no other app.
    if found is None or found.id not in session().reach:
        raise AppNotFound(app=printable(name))
    return found


def every_app() -> list[App]:
    """The apps that the command may touch: all of them, or those on which its caller has the role that it takes."""
    reach = session().reach
    return [app for app in session().apps.all() if app.id in reach]


def app_names() -> list[str]:
    """The names of `every_app()`."""
    return session().apps.names() if session().reach.everything else [app.name for app in every_app()]


def environments() -> dict[str, list[str]]:
    """Aptible's environments with the names of the apps that the command may touch; none without such apps."""
    found = session().apps.environments()
    if session().reach.everything:
        return found
    names = {app.name for app in every_app()}
    kept = {name: [app for app in apps if app in names] for name, apps in found.items()}
    return {name: apps for name, apps in kept.items() if apps}


def require_everything() -> None:
    """For what is not about one app. Raises AppNotSpecified where the caller has roles on apps only."""
    if not session().reach.everything:
        raise AppNotSpecified()


def the_apps(name: str, everyone: bool) -> list[App]:
    """The apps of ``APP|--all``. Raises as the_app does."""
    return every_app() if everyone and not name else [the_app(name)]


def scoped(words: list[str] | None, everywhere: bool) -> tuple[App | None, list[str]]:
    """What ``APP|--global …`` is about, None for all apps, and the words after it. Raises as the_app does."""
    rest = list(words or [])
    if everywhere:
        require_everything()
        return None, rest
    return the_app(rest[0] if rest else ""), rest[1:]


@contextlib.contextmanager
def recorded(app: App | None, kind: str, words: str = "") -> Iterator[None]:
    """Record a change that needs no turn behind the app's other operations. `words` must not hold secrets."""
    operations = session().operations
    record = operations.start(app, kind, words, session().caller)
    try:
        yield
    except BaseException as error:
        message = str(error) if isinstance(error, PaasError) else type(error).__name__
        operations.finish(record.id, "failed", message)
        raise
    operations.finish(record.id, "succeeded")


def confirm(what: str, name: str) -> None:
    """Ask on standard input whether to destroy `what` (app, …) called `name`. Raises NotConfirmed."""
    console = session().console
    console.warn("WARNING: Potentially Destructive Action")
    console.warn(f"This command will destroy {what} {name}.")
    console.warn(f'To proceed, type "{name}"')
    if sys.stdin.isatty():
        console.out.write("> ")
        console.out.flush()
    try:
        answer = input()
    except EOFError:
        answer = ""
    if answer.strip() != name:
        raise NotConfirmed(name=name)


def wants_json(given: str) -> bool:
    """Read a --format. Raises InvalidFormat."""
    if given not in ("stdout", "text", "json"):
        raise InvalidFormat(given=printable(given))
    return given == "json"


def no_more(words: Iterable[str]) -> None:
    """Refuse arguments that a command has no use for."""
    extra = list(words)
    if extra:
        raise UsageError(f"Unexpected argument(s): {printable(' '.join(extra))}")
