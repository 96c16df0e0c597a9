"""Procfile, .aptible.yml and app.json: what runs and how it is checked.

They are read from the commit, or, for an image, from the image (``/.aptible/`` first, then its working
directory) without running it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import yaml

from paas.console import Console
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.model.release import DEFAULT_PORT, WEB, Check, Manifest, PhaseCommand

PROCFILE = "Procfile"
APTIBLE_YML = ".aptible.yml"
APP_JSON = "app.json"
RELEASE = "release"
BEFORE_KEYS = ("before_deploy", "before_release")
AFTER_KEYS = tuple(
    f"after_{what}_{how}"
    for what in ("deploy", "restart", "configure", "scale")
    for how in ("success", "failure")
)
KNOWN_KEYS = {*BEFORE_KEYS, *AFTER_KEYS}
_PROCFILE_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62}):(.*)")
_INLINE_COMMENT = re.compile(r"\s(#|//).*$")
_COMMENT_LINE = re.compile(r"(?m)^[^\S\n]*//.*$")
_URL_PATH = re.compile(r"/[!-~]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~A-Za-z0-9-]+:[ -~\xa0-\xff]*")
MAX_SECONDS = 24 * 60 * 60
MAX_ATTEMPTS = 1000

Files = dict[str, bytes]
ReadFiles = Callable[[list[str]], Files]


class InvalidProcfile(PaasError):
    """Invalid Procfile: line {line}: {reason}. Nothing was deployed"""


class InvalidAptibleYml(PaasError):
    """Invalid .aptible.yml: {where}{reason}. Nothing was deployed"""


class InvalidAppJson(PaasError):
    """Invalid app.json: {where}{reason}. Nothing was deployed"""


class NothingToRun(PaasError):
    """There is nothing to run: no Procfile, and the image has neither CMD nor ENTRYPOINT. Nothing was deployed. Add a CMD to the image or a Procfile"""


def image_paths(image: Image) -> dict[str, tuple[str, ...]]:
    """Where an image may keep each file, the first found counts."""
    folder = PurePosixPath(image.working_dir)
    return {
        PROCFILE: (f"/.aptible/{PROCFILE}", str(folder / PROCFILE)),
        APTIBLE_YML: (f"/.aptible/{APTIBLE_YML}",),
        APP_JSON: (str(folder / APP_JSON),),
    }


def pick(image: Image, found: Files) -> Files:
    """The files of an image by their own name."""
    chosen: Files = {}
    for name, paths in image_paths(image).items():
        for path in paths:
            if path in found:
                chosen[name] = found[path]
                break
    return chosen


def parse(files: Files, image: Image, console: Console) -> Manifest:
    """Put the files (by name, missing ones left out) and the image's own settings together."""
    before: list[PhaseCommand] = []
    hooks: dict[str, tuple[str, ...]] = {}
    processes: dict[ProcessType, str | None] = {}
    if PROCFILE in files:
        lines = parse_procfile(files[PROCFILE])
        release = lines.pop(ProcessType(RELEASE), None)
        if release:
            before.append(PhaseCommand(RELEASE, PROCFILE, release))
        processes.update(lines)
    if not processes:
        if not image.command and not image.entrypoint:
            raise NothingToRun()
        processes[WEB] = None
    if APTIBLE_YML in files:
        found, hooks = parse_aptible_yml(files[APTIBLE_YML], console)
        before += found
    checks = parse_app_json(files[APP_JSON]) if APP_JSON in files else {}
    return Manifest(
        processes=processes,
        port=image.lowest_port or DEFAULT_PORT,
        before=tuple(before),
        checks=checks,
        hooks=hooks,
        implicit=processes == {WEB: None},
    )


def parse_procfile(data: bytes) -> dict[ProcessType, str]:
    """``type: command`` lines. Raises InvalidProcfile with the line's number."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad_line = data[: error.start].count(b"\n") + 1
        raise InvalidProcfile(line=bad_line, reason="it is not UTF-8 text") from None
    found: dict[ProcessType, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith(("#", "//")):
            continue
        match = _PROCFILE_LINE.fullmatch(line)
        if not match:
            raise InvalidProcfile(
                line=number, reason=f"expected `type: command`, found `{printable(line, 60)}`"
            )
        process_type, command = ProcessType(match[1]), _INLINE_COMMENT.sub("", match[2]).strip()
        if not command:
            raise InvalidProcfile(line=number, reason=f"{process_type} has no command")
        if "\0" in command:
            raise InvalidProcfile(line=number, reason=f"{process_type} has a NUL byte in its command")
        if process_type in found:
            raise InvalidProcfile(line=number, reason=f"{process_type} stands there twice")
        found[process_type] = command
    return found


def parse_aptible_yml(data: bytes, console: Console) -> tuple[list[PhaseCommand], dict[str, tuple[str, ...]]]:
    """The commands to run before a release, and those of the after_* hooks. Raises InvalidAptibleYml with line and column."""
    try:
        document = yaml.safe_load(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidAptibleYml(where=where, reason=reason) from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise InvalidAptibleYml(where="", reason="it is not a YAML text") from None
    if document is None:
        return [], {}
    if not isinstance(document, dict):
        raise InvalidAptibleYml(where="line 1: ", reason="expected `key: value` pairs at the top")
    for key in document:
        if key not in KNOWN_KEYS:
            console.warn(f".aptible.yml: the key {printable(str(key), 60)} is unknown and ignored")
    given = [key for key in BEFORE_KEYS if key in document]
    if len(given) == 2:
        console.warn(
            ".aptible.yml: before_release is the old name of before_deploy; only before_deploy is used"
        )
    before = [
        PhaseCommand(key, APTIBLE_YML, command) for key in given[:1] for command in _commands(document, key)
    ]
    hooks = {key: tuple(_commands(document, key)) for key in document if key in AFTER_KEYS}
    return before, hooks


def _commands(document: dict[str, Any], key: str) -> list[str]:
    value = document[key]
    values = [value] if isinstance(value, str) else value or []
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise InvalidAptibleYml(where=f"{key}: ", reason="expected a list of commands")
    return [item for item in values if item.strip()]


def parse_app_json(data: bytes) -> dict[ProcessType, tuple[Check, ...]]:
    """The startup checks of each process type. Raises InvalidAppJson with the line."""
    try:
        document = json.loads(_COMMENT_LINE.sub("", data.decode("utf-8-sig")))
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
    checks: dict[ProcessType, tuple[Check, ...]] = {}
    for name, items in _mapping(document.get("healthchecks"), "healthchecks").items():
        if not isinstance(items, list):
            raise InvalidAppJson(where=f"healthchecks.{printable(name)}: ", reason="expected a list")
        startup = []
        for index, item in enumerate(items):
            where = f"healthchecks.{printable(name)}[{index}]: "
            if not isinstance(item, dict):
                raise InvalidAppJson(where=where, reason="expected an object")
            if item.get("type", "startup") == "startup":
                startup.append(_check(item, where))
        if startup:
            checks[ProcessType.parse(name)] = tuple(startup)
    return checks


def _mapping(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidAppJson(where=f"{name}: ", reason="expected an object")
    return value


def _check(item: dict[str, Any], where: str) -> Check:
    kinds = [kind for kind in ("path", "command", "listening", "uptime") if item.get(kind)]
    if len(kinds) != 1:
        reason = "needs exactly one of path, command, listening and uptime"
        raise InvalidAppJson(where=where, reason=reason)
    kind = kinds[0]
    try:
        check = Check(
            name=str(item.get("name", kind)),
            path=item["path"] if kind == "path" else None,
            port=int(item["port"]) if item.get("port") else None,
            content=str(item.get("content", "")),
            headers=tuple((str(h["name"]), str(h["value"])) for h in item.get("httpHeaders") or ()),
            command=tuple(item["command"]) if kind == "command" else (),
            listening=kind == "listening",
            uptime=int(item["uptime"]) if kind == "uptime" else None,
            attempts=int(item.get("attempts", 3)),
            timeout=float(item.get("timeout", 5)),
            wait=float(item.get("wait", 5)),
            initial_delay=float(item.get("initialDelay", 0)),
            warn_only=bool(item.get("warn", False)),
        )
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        reason = f"a value has the wrong type ({printable(str(error))})"
        raise InvalidAppJson(where=where, reason=reason) from None
    for fine, reason in _rules(item, check):
        if not fine:
            raise InvalidAppJson(where=where, reason=reason)
    return check


def _rules(item: dict[str, Any], check: Check) -> list[tuple[bool, str]]:
    """What has to hold for a check, and the reason why it is refused otherwise."""
    words = item.get("command") or []
    path = check.path or "/"
    return [
        (
            isinstance(path, str) and _URL_PATH.fullmatch(path) is not None,
            "path has to be the path of a URL, such as /health",
        ),
        (
            isinstance(words, list) and all(isinstance(word, str) and "\0" not in word for word in words),
            "command has to be a list of words",
        ),
        (check.port is None or 0 < check.port < 65536, "port has to be 1 to 65535"),
        (
            all(_HEADER.fullmatch(f"{name}:{value}") for name, value in check.headers),
            "httpHeaders has a name or value that HTTP does not allow",
        ),
        (0 < check.attempts <= MAX_ATTEMPTS, f"attempts has to be 1 to {MAX_ATTEMPTS}"),
        (
            0 < check.timeout <= MAX_SECONDS,
            f"timeout has to be more than 0 and at most {MAX_SECONDS} seconds",
        ),
        (0 <= check.wait <= MAX_SECONDS, f"wait has to be 0 to {MAX_SECONDS} seconds"),
        (0 <= check.initial_delay <= MAX_SECONDS, f"initialDelay has to be 0 to {MAX_SECONDS} seconds"),
        (
            check.uptime is None or 0 < check.uptime <= MAX_SECONDS,
            f"uptime has to be 1 to {MAX_SECONDS} seconds",
        ),
    ]
