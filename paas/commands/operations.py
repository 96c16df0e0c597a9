"""operations and operation:* — every change that was made or is being made."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from paas.commands.base import FormatOption, Group, NumberOption, session, the_app, wants_json
from paas.deploy import follow as following
from paas.errors import UsageError
from paas.model.names import whole_number
from paas.model.operation import Operation

group = Group("operation", "Follow, read and cancel operations")
list_group = Group("operations", "List recorded changes", bare="operations")

IdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The operation's number")]


@list_group.command(":operations")
def operations(
    app: Annotated[str, typer.Argument(metavar="[APP]", show_default=False)] = "",
    number: NumberOption = 20,
    show_format: FormatOption = "stdout",
) -> None:
    """List the changes of an app or of all: who, what, when, and how each ended."""
    as_json = wants_json(show_format)
    records = session().operations.recent(the_app(app) if app else None, number)
    console = session().console
    if as_json:
        hidden = ("pid", "pid_started")
        console.json([{k: v for k, v in asdict(item).items() if k not in hidden} for item in records])
        return
    console.header("Operations")
    header = ("ID", "App", "What", "By", "Started", "Took", "Status")
    console.table([header, *(_row(item) for item in records)])


def _row(item: Operation) -> tuple[object, ...]:
    took = f"{item.finished_at - item.created_at:.1f} s" if item.finished_at else ""
    moment = datetime.fromtimestamp(item.created_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    what = f"{item.kind} {item.words}".strip()
    status = item.status + (f": {item.message.splitlines()[0][:80]}" if item.message else "")
    return item.id, item.app_name or "", what[:60], item.caller, moment, took, status


def _id(text: str) -> int:
    number = whole_number(text.removeprefix("#"), 1, 2**62)
    if number is None:
        raise UsageError("Please give the operation's number. See the list with operations")
    return number


@group.command("logs")
def logs(operation_id: IdArgument = "") -> None:
    """Print the log of an operation."""
    record = session().operations.get(_id(operation_id))
    path = session().operations.log_path(record.id)
    if path.exists():
        session().console.raw(path.read_bytes())


@group.command("follow")
def follow(operation_id: IdArgument = "") -> int:
    """Print an operation's log as it grows, and exit as it did."""
    return following.follow(session(), session().operations.get(_id(operation_id)))


@group.command("cancel")
def cancel(operation_id: IdArgument = "") -> None:
    """Cancel an operation; what it began is undone, unless it has switched already."""
    following.cancel(session(), session().operations.get(_id(operation_id)))
