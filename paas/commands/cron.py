"""cron:* — the scheduled tasks that an app.json names."""

from __future__ import annotations

from typing import Annotated

import typer

from paas.commands.base import (
    AppArgument,
    FormatOption,
    GlobalOption,
    Group,
    ReportWords,
    no_more,
    recorded,
    scoped,
    session,
    the_app,
    wants_json,
)
from paas.commands.properties import add_set_command, property_flags
from paas.commands.report import Flags, report
from paas.deploy.files import cron
from paas.model.access import DEPLOY, MANAGE, REPORT, VIEW
from paas.store.apps import App
from paas.store.properties import GLOBAL

NO_MAIL = (
    "paas sends no mail: what a task prints is in its operation's log (operations APP, operation:logs ID)"
)

group = Group("cron", "Manage scheduled tasks")

TaskArgument = Annotated[
    str, typer.Argument(metavar="ID", show_default=False, help="The task's id, see cron:list")
]


@group.command("list", needs=VIEW)
def list_tasks(
    words: Annotated[list[str] | None, typer.Argument(metavar="APP", show_default=False)] = None,
    everywhere: GlobalOption = False,
    show_format: FormatOption = "stdout",
) -> None:
    """List an app's scheduled tasks; --global lists those that belong to no app, which paas has none of."""
    as_json = wants_json(show_format)
    app, rest = scoped(words, everywhere)
    no_more(rest)
    found = cron.tasks(session(), app) if app else []
    if as_json:
        session().console.json([_json(item) for item in found])
        return
    rows = [("ID", "Schedule", "Concurrency", "Maintenance", "Command")]
    rows += [
        (item.id, item.task.schedule, item.task.concurrency_policy, item.maintenance, item.task.command)
        for item in found
    ]
    session().console.table(rows)


def _json(item: cron.Scheduled) -> dict[str, object]:
    return {
        "id": item.id,
        "app": item.app,
        "command": item.task.command,
        "schedule": item.task.schedule,
        "concurrency_policy": item.task.concurrency_policy,
        "app-in-maintenance": item.app_off,
        "task-in-maintenance": item.task_off,
        "maintenance": item.off,
    }


@group.command("run", needs=DEPLOY)
def run(
    app: AppArgument = "",
    task_id: TaskArgument = "",
    detach: Annotated[
        bool, typer.Option("--detach", help="Do not wait: print the container's name and go")
    ] = False,
    ttl: Annotated[
        int, typer.Option("--ttl-seconds", metavar="N", min=1, max=10**7, help="Kill it after so long")
    ] = cron.TTL_SECONDS,
) -> int:
    """Run a task now, suspended or not, and exit as it does."""
    found = the_app(app)
    task = cron.find(session(), found, task_id).task
    if not detach:
        return cron.run(session(), found, task, ttl)
    session().console.print(cron.run_detached(session(), found, task, ttl))
    return 0


@group.command("suspend", needs=DEPLOY)
def suspend(app: AppArgument = "", task_id: TaskArgument = "") -> None:
    """Stop starting a task at its times."""
    _suspend(the_app(app), task_id, True)


@group.command("resume", needs=DEPLOY)
def resume(app: AppArgument = "", task_id: TaskArgument = "") -> None:
    """Start a task at its times again."""
    _suspend(the_app(app), task_id, False)


def _suspend(app: App, task_id: str, off: bool) -> None:
    item = cron.find(session(), app, task_id)
    with recorded(app, "cron:suspend" if off else "cron:resume", item.task.words):
        cron.suspend(session(), app, item.task, off)
    session().console.step_header(f"{'Suspended' if off else 'Resumed'} the task {item.task.command}")


def _store(scope: int, key: str, value: str) -> None:
    session().properties.set(scope, cron.NAMESPACE, key, value)
    if value and key.startswith("mail"):
        session().console.warn(NO_MAIL)


add_set_command(group, cron.NAMESPACE, store=_store, needs=MANAGE)


@group.command("report", options_pass=True, needs=REPORT)
def cron_report(words: ReportWords = None, show_format: FormatOption = "stdout") -> None:
    """Show how many tasks an app has and what is suspended."""
    report("cron", words, _flags, True, show_format, lambda: _computed_mail(property_flags("cron", None)))


def _flags(app: App) -> Flags:
    found = cron.tasks(session(), app)
    flags = property_flags("cron", app) | {"--cron-task-count": str(len(found))}
    flags |= {f"--cron-maintenance-{item.id}": "true" for item in found if item.task_off}
    return _computed_mail(flags)


def _computed_mail(flags: Flags) -> Flags:
    for key in ("mailfrom", "mailto"):
        flags[f"--cron-computed-{key}"] = session().properties.get(GLOBAL, "cron", key)
    return flags
