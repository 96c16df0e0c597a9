"""app.json: what a repository says about its config, its tasks around a deploy, its processes and their checks."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from paas.console import Console
from paas.deploy.files.app_json_checks import InvalidAppJson, mapping, parse_checks
from paas.model.cron import CronTask, parse_cron
from paas.model.names import ConfigKey, ProcessType, printable
from paas.model.release import Check, Formation, Variable

MAX_COUNT = 1000
# Keys that describe an app to people or to other platforms, of no use here.
DESCRIPTIVE = {
    *("$schema", "name", "description", "keywords", "website", "repository", "logo", "success_url", "stack"),
    *("environments", "image", "addons"),
}
KEYS = {"env", "scripts", "formation", "healthchecks", "cron", "buildpacks"}
SCRIPTS = {"dokku", "postdeploy"}
DOKKU_SCRIPTS = {"predeploy", "postdeploy"}
VARIABLE_KEYS = {"description", "value", "required", "generator", "sync"}
FORMATION_KEYS = {"quantity", "max_parallel"}
# A string, or a comment: whichever begins first counts. What is not closed is taken to the end, so that any text is
# read once; the JSON parser tells it.
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|//[^\n]*|/\*(?:.*?\*/|.*)', re.DOTALL)
_NOT_NEWLINE = re.compile(r"[^\n]")


@dataclass(frozen=True)
class AppJson:
    """What was read. `predeploy` runs before a release, `first_postdeploy` before an app's first one serves, `postdeploy`
    after a switch; all empty where there is none. `formation` is empty where app.json leaves the counts to ps:scale."""

    env: tuple[Variable, ...] = ()
    predeploy: str = ""
    postdeploy: str = ""
    first_postdeploy: str = ""
    formation: Formation = field(default_factory=dict)
    max_parallel: dict[ProcessType, int] = field(default_factory=dict)
    checks: dict[ProcessType, tuple[Check, ...]] = field(default_factory=dict)
    cron: tuple[CronTask, ...] = ()


def parse_app_json(data: bytes, console: Console, app: str) -> AppJson:
    """Read it, with warnings of what has no effect. Raises InvalidAppJson and the errors of paas.model.cron."""
    document = _document(data)
    warn = _Unknown(console)
    warn("", document, KEYS | DESCRIPTIVE)
    if document.get("buildpacks"):
        console.warn("app.json: buildpacks are not supported and ignored; the Dockerfile is what is built")
    scripts = mapping(document.get("scripts"), "scripts")
    warn("scripts.", scripts, SCRIPTS)
    tasks = mapping(scripts.get("dokku"), "scripts.dokku")
    warn("scripts.dokku.", tasks, DOKKU_SCRIPTS)
    formation, max_parallel = _formation(document, warn)
    return AppJson(
        env=_env(document, warn),
        predeploy=_script(tasks, "predeploy", "scripts.dokku."),
        postdeploy=_script(tasks, "postdeploy", "scripts.dokku."),
        first_postdeploy=_script(scripts, "postdeploy", "scripts."),
        formation=formation,
        max_parallel=max_parallel,
        checks=parse_checks(document.get("healthchecks"), warn),
        cron=parse_cron(document.get("cron"), app),
    )


class _Unknown:
    """Warns of keys that nobody reads: most are misspelled."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, where: str, given: dict[str, Any], known: set[str]) -> None:
        for key in given:
            if key not in known:
                self.console.warn(f"app.json: the key {where}{printable(key, 60)} is unknown and ignored")


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(_TOKEN.sub(_blank, data.decode("utf-8-sig")))
    except UnicodeDecodeError:
        raise InvalidAppJson(where="", reason="it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InvalidAppJson(where=f"line {error.lineno}, column {error.colno}: ", reason=error.msg) from None
    except RecursionError:
        raise InvalidAppJson(where="", reason="it is nested too deeply") from None
    except ValueError:
        raise InvalidAppJson(where="", reason="a number is too long") from None
    if not isinstance(document, dict):
        raise InvalidAppJson(where="line 1: ", reason="expected an object")
    return document


def _blank(match: re.Match[str]) -> str:
    """Comments become blanks, so that lines and columns still count."""
    return match[0] if match[0].startswith('"') else _NOT_NEWLINE.sub(" ", match[0])


def _script(scripts: dict[str, Any], key: str, where: str) -> str:
    value = scripts.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise InvalidAppJson(where=f"{where}{key}: ", reason="expected a command")
    return value.strip()


def _env(document: dict[str, Any], warn: _Unknown) -> tuple[Variable, ...]:
    found = []
    for key, item in mapping(document.get("env"), "env").items():
        where = f"env.{printable(key, 60)}: "
        name = ConfigKey.parse(key)
        value = item if isinstance(item, str) else None
        settings: dict[str, Any] = {} if isinstance(item, str) else mapping(item, where.removesuffix(": "))
        warn(f"env.{key}.", settings, VARIABLE_KEYS)
        value = settings.get("value", value)
        # Never the value itself in a message: it may be a secret.
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise InvalidAppJson(where=where, reason="value has to be a text")
        for flag in ("required", "sync"):
            if not isinstance(settings.get(flag, False), bool):
                raise InvalidAppJson(where=where, reason=f"{flag} has to be true or false")
        generator = settings.get("generator") or ""
        if generator not in ("", "secret"):
            raise InvalidAppJson(where=where, reason='the only generator is "secret"')
        found.append(
            Variable(
                name,
                value or None,
                settings.get("required", True) and not isinstance(item, str),
                generator == "secret",
                settings.get("sync", False),
            )
        )
    return tuple(found)


def _formation(
    document: dict[str, Any], warn: _Unknown
) -> tuple[Formation, dict[ProcessType, int]]:
    counts: Formation = {}
    parallel: dict[ProcessType, int] = {}
    for name, value in mapping(document.get("formation"), "formation").items():
        kind = ProcessType.parse(name)
        item = mapping(value, f"formation.{kind}")
        warn(f"formation.{kind}.", item, FORMATION_KEYS)
        for key, lowest, into in (("quantity", 0, counts), ("max_parallel", 1, parallel)):
            number = item.get(key)
            if number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool) or not lowest <= number <= MAX_COUNT:
                reason = f"{key} has to be a whole number from {lowest} to {MAX_COUNT}"
                raise InvalidAppJson(where=f"formation.{kind}: ", reason=reason)
            into[kind] = number
    return counts, parallel
