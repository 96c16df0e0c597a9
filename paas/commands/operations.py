"""operations and operation:* — every change that was made or is being made."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from paas.commands.base import FormatOption, Group, session, the_app, wants_json
from paas.deploy.upkeep import follow as following
from paas.errors import UsageError
from paas.model.access import OPERATION, VIEW_SOME, Role
from paas.model.moments import parse_moment
from paas.model.names import whole_number
from paas.model.operation import Operation
from paas.store.access import Refusal, Refusals
from paas.store.apps import App

group = Group("operation", "Follow, read and cancel operations")
list_group = Group("operations", "List recorded changes, and what was refused", bare="operations")

SHOWN = 20
IdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The operation's number")]
Entry = Operation | Refusal


@list_group.command(":operations", needs=VIEW_SOME)
def operations(
    app: Annotated[str, typer.Argument(metavar="[APP]", show_default=False)] = "",
    number: Annotated[
        int | None,
        typer.Option(
            "--num", "-n", metavar="N", min=1, max=10_000_000, help="How many; 20, with --since all"
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="2026-11-21, 2026-11-21T07:12:04Z, or 30m, 12h, 7d ago")
    ] = "",
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="By this key, or user of the host")] = "",
    show_format: FormatOption = "stdout",
) -> None:
    """List changes, newest first: who, what, when, and how each ended; with --format json one a line."""
    as_json = wants_json(show_format)
    found = the_app(app) if app else None
    moment = parse_moment(since, time.time()) if since else 0.0
    shown = itertools.islice(_entries(found, moment, key), number or (None if since else SHOWN))
    console = session().console
    if as_json:
        for item in shown:
            console.json(_json(item))
        return
    console.header("Operations")
    header = ("ID", "App", "What", "By", "Started", "Took", "Status")
    console.table([header, *(_row(item) for item in shown)])


def _entries(app: App | None, since: float, key: str) -> Iterator[Entry]:
    """Changes and, for administrators, what was refused; newest first, read from the database as they are printed."""
    reach = session().reach
    changes = session().operations.search(since, key, [app.id] if app else reach.ids)
    if not reach.everything:
        return changes
    refused = Refusals(session().database).since(since, app.name if app else "", key)
    return heapq.merge(changes, reversed(refused), key=_moment, reverse=True)


def _moment(item: Entry) -> float:
    return item.created_at if isinstance(item, Operation) else item.last_at


def _json(item: Entry) -> dict[str, object]:
    if isinstance(item, Operation):
        found = {name: value for name, value in asdict(item).items() if name not in ("pid", "pid_started", "committed")}
        return found | {"steps": item.steps_taken}
    return {
        "id": None,
        "app_id": None,
        "app_name": item.app_name or None,
        "kind": item.kind,
        "words": "",
        "caller": item.caller,
        "door": item.door,
        "status": "refused",
        "created_at": item.first_at,
        "started_at": None,
        "finished_at": item.last_at,
        "message": item.message,
        "release": None,
        "count": item.count,
    }


def _row(item: Entry) -> tuple[object, ...]:
    moment = datetime.fromtimestamp(_moment(item), UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(item, Refusal):
        times = "" if item.count == 1 else f" {item.count} times"
        return "", item.app_name, item.kind, item.caller, moment, "", f"refused{times}: {item.message[:80]}"
    took = f"{item.finished_at - item.created_at:.1f} s" if item.finished_at else ""
    what = f"{item.kind} {item.words}".strip()
    status = item.status + (f": {item.message.splitlines()[0][:80]}" if item.message else "")
    return item.id, item.app_name or "", what[:60], item.caller, moment, took, status


def _id(text: str) -> int:
    number = whole_number(text.removeprefix("#"), 1, 2**62)
    if number is None:
        raise UsageError("Please give the operation's number. See the list with operations")
    return number


@group.command("logs", needs=OPERATION)
def logs(operation_id: IdArgument = "") -> None:
    """Print the log of an operation."""
    record = session().operations.get(_id(operation_id))
    path = session().operations.log_path(record.id)
    if path.exists():
        session().console.raw(path.read_bytes())


@group.command("steps", needs=OPERATION)
def steps(operation_id: IdArgument = "", show_format: FormatOption = "stdout") -> None:
    """Show the steps of an operation: when each began and how long it took, in milliseconds."""
    as_json = wants_json(show_format)
    record = session().operations.get(_id(operation_id))
    console = session().console
    if as_json:
        console.json(record.steps_taken)
        return
    console.header(f"Steps of #{record.id} {record.kind} {record.words}".rstrip())
    rows = [(_label(item), f"{item['start_ms']:>10.1f}", f"{item['took_ms']:>10.1f}") for item in record.steps_taken]
    console.table([("Step", "  Start ms", "   Took ms"), *rows])


def _label(item: dict[str, Any]) -> str:
    return f"{'  ' * item['depth']}{item['name']} {item['about']}".rstrip()


@group.command("follow", needs=OPERATION)
def follow(operation_id: IdArgument = "") -> int:
    """Print an operation's log as it grows, and exit as it did."""
    return following.follow(session(), session().operations.get(_id(operation_id)))


@group.command("cancel", needs=replace(OPERATION, role=Role.DEPLOY))
def cancel(operation_id: IdArgument = "") -> None:
    """Cancel an operation; what it began is undone, unless it has switched already."""
    following.cancel(session(), session().operations.get(_id(operation_id)))
