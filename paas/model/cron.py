"""Scheduled tasks: what app.json's `cron` list says, their ids, and when they are due.

All of it is pure: a moment comes in as epoch seconds with the zone in which schedules are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal, cast

from cronsim import CronSim, CronSimError

from paas.errors import PaasError
from paas.model.names import printable

# The kind of the operation that a run is.
RUN_KIND = "cron:run"
ConcurrencyPolicy = Literal["allow", "forbid", "replace"]
POLICIES = ("allow", "forbid", "replace")
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = 5
MAX_SCHEDULE_CHARACTERS = 200
MAX_COMMAND_CHARACTERS = 4000
MAX_TASKS = 200
# A task whose time passed longer ago than this (the machine slept) waits for its next time.
LATE_SECONDS = 300.0
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class InvalidCron(PaasError):
    """Invalid cron section for app {app}: {reason}"""


class MissingCommand(PaasError):
    """Missing cron task command for app {app} (index {index})"""


class MissingSchedule(PaasError):
    """Missing cron schedule for app {app} (index {index})"""


class InvalidSchedule(PaasError):
    """Invalid cron schedule for app {app} (schedule {schedule}): {reason}"""


class InvalidCommand(PaasError):
    """Invalid cron command for app {app} (index {index}): {reason}"""


class InvalidPolicy(PaasError):
    """Invalid cron concurrency policy for app {app} (index {index}): {given}, valid policies are allow, forbid, replace"""


@dataclass(frozen=True)
class CronTask:
    """One task: a command line, a schedule as it was written, whether it starts out suspended (`maintenance`), and
    what happens when its last run still goes on (`concurrency_policy`)."""

    command: str
    schedule: str
    maintenance: bool = False
    concurrency_policy: ConcurrencyPolicy = "allow"

    @property
    def key(self) -> str:
        """Names it within its app, whatever the app is called."""
        return base36(f"{self.command}==={self.schedule}")

    def id(self, app: str) -> str:
        """Its id for users; another one after the app was renamed."""
        return base36(f"{app}==={self.command}==={self.schedule}")

    @property
    def words(self) -> str:
        """What the operation of a run says about it."""
        return f"{self.schedule} {self.command}"


def parse_cron(data: object, app: str) -> tuple[CronTask, ...]:
    """The `cron` value of an app.json, None where it has none; a task that stands there twice counts once.

    Raises one of the errors above.
    """
    if data is None:
        return ()
    if not isinstance(data, list) or len(data) > MAX_TASKS:
        raise InvalidCron(app=app, reason=f"expected a list of at most {MAX_TASKS} tasks")
    tasks: dict[str, CronTask] = {}
    for index, item in enumerate(data):
        task = _task(item, app, index)
        tasks.setdefault(task.key, task)
    return tuple(tasks.values())


def _task(item: object, app: str, index: int) -> CronTask:
    if not isinstance(item, dict):
        raise InvalidCron(app=app, reason=f"task {index} is not an object")
    command, schedule = item.get("command"), item.get("schedule")
    if not command:
        raise MissingCommand(app=app, index=index)
    if not schedule:
        raise MissingSchedule(app=app, index=index)
    if not isinstance(command, str) or not command.strip() or not printable_line(command):
        raise InvalidCommand(app=app, index=index, reason="expected one line of text")
    if len(command) > MAX_COMMAND_CHARACTERS:
        raise InvalidCommand(app=app, index=index, reason=f"longer than {MAX_COMMAND_CHARACTERS} characters")
    if not isinstance(schedule, str):
        raise InvalidSchedule(app=app, schedule=printable(str(schedule), 60), reason="expected a text")
    reason = schedule_error(schedule)
    if reason:
        raise InvalidSchedule(app=app, schedule=printable(schedule, 60), reason=reason)
    policy: Any = item.get("concurrency_policy") or "allow"
    if policy not in POLICIES:
        raise InvalidPolicy(app=app, index=index, given=printable(str(policy), 60))
    maintenance = item.get("maintenance", False)
    if not isinstance(maintenance, bool):
        raise InvalidCron(app=app, reason=f"maintenance of task {index} has to be true or false")
    return CronTask(command, schedule, maintenance, cast(ConcurrencyPolicy, policy))


def printable_line(text: str) -> bool:
    """Whether it is one line that can be printed, stored and handed to a container."""
    return all(character.isprintable() or character == "\t" for character in text)


def schedule_error(schedule: str) -> str:
    """Why a schedule can't be used, empty when it can: five fields as crontab(5) has them, or an @word."""
    if len(schedule) > MAX_SCHEDULE_CHARACTERS or not schedule.isascii() or not printable_line(schedule):
        return f"expected at most {MAX_SCHEDULE_CHARACTERS} characters on one line"
    fields = _expression(schedule).split()
    if schedule.startswith("@") and schedule not in NICKNAMES:
        return f"expected one of {' '.join(NICKNAMES)}"
    if len(fields) != FIELDS:
        return f"expected {FIELDS} fields (minute hour day month weekday), found {len(fields)}"
    try:
        if next(CronSim(" ".join(fields), datetime(2024, 1, 1)), None) is None:
            return "there is no such day"
    except (CronSimError, ValueError, AssertionError) as error:
        return str(error) or "a field can't be read"
    return ""


def next_due(schedule: str, after: float, zone: tzinfo) -> float:
    """When a (valid) schedule comes next, later than `after`: epoch seconds; infinite when never again.

    Where the clock is put forward or back, fixed times run once and intervals go by real time, as with Debian's cron.
    """
    for moment in CronSim(_expression(schedule), datetime.fromtimestamp(after, zone)):
        # In the hour that the clock shows twice, a fixed time may lie in the first one.
        if moment.timestamp() > after:
            return moment.timestamp()
    return float("inf")


def late(due: float, now: float) -> bool:
    """Whether a run that was due is too long ago to be made up for."""
    return now - due > LATE_SECONDS


def base36(text: str) -> str:
    """A text's UTF-8 bytes as one number, written with lower-case digits."""
    number = int.from_bytes(text.encode(), "big")
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
    return digits


def _expression(schedule: str) -> str:
    return NICKNAMES.get(schedule, schedule)
