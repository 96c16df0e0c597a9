"""Procfile, .aptible.yml and app.json: what runs and how it is checked.

They are read from the commit, or, for an image, from the image (``/.aptible/`` first, then its working
directory) without running it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml

from paas.console import Console
from paas.deploy.files.app_json import AppJson, parse_app_json
from paas.engine.images import Image
from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.model.release import (
    DEFAULT_PORT,
    FIRST_POSTDEPLOY,
    POSTDEPLOY,
    PREDEPLOY,
    RELEASE,
    WEB,
    Manifest,
    PhaseCommand,
)

PROCFILE = "Procfile"
APTIBLE_YML = ".aptible.yml"
APP_JSON = "app.json"
BEFORE_KEYS = ("before_deploy", "before_release")
AFTER_KEYS = tuple(
    f"after_{what}_{how}"
    for what in ("deploy", "restart", "configure", "scale")
    for how in ("success", "failure")
)
KNOWN_KEYS = {*BEFORE_KEYS, *AFTER_KEYS}
MAX_MERGED = 1000
_PROCFILE_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,62}):(.*)")
_INLINE_COMMENT = re.compile(r"\s(#|//).*$")

Files = dict[str, bytes]


class InvalidProcfile(PaasError):
    """Invalid Procfile: line {line}: {reason}. Nothing was deployed"""


class InvalidAptibleYml(PaasError):
    """Invalid .aptible.yml: {where}{reason}. Nothing was deployed"""


class NothingToRun(PaasError):
    """There is nothing to run: no Procfile, and the image has neither CMD nor ENTRYPOINT. Nothing was deployed. Add a CMD to the image or a Procfile"""


@dataclass(frozen=True)
class Paths:
    """Where an app keeps its Procfile and its app.json (ps:set procfile-path, app-json:set appjson-path)."""

    procfile: str = PROCFILE
    app_json: str = APP_JSON

    def of_commit(self) -> dict[str, str]:
        """Each file's own name, and where it is looked for."""
        return {PROCFILE: self.procfile, APTIBLE_YML: APTIBLE_YML, APP_JSON: self.app_json}

    def of_image(self, image: Image) -> dict[str, tuple[str, ...]]:
        """The same in an image: the first place that has the file counts."""
        folder = PurePosixPath(image.working_dir)
        procfile = (f"/.aptible/{PROCFILE}",) if self.procfile == PROCFILE else ()
        return {
            PROCFILE: (*procfile, str(folder / self.procfile)),
            APTIBLE_YML: (f"/.aptible/{APTIBLE_YML}",),
            APP_JSON: (str(folder / self.app_json),),
        }


def pick(paths: dict[str, tuple[str, ...]], found: Files) -> Files:
    """The files of an image by their own name."""
    chosen: Files = {}
    for name, places in paths.items():
        for path in places:
            if path in found:
                chosen[name] = found[path]
                break
    return chosen


def parse(files: Files, image: Image, console: Console, app: str, start_command: str = "") -> Manifest:
    """Put the files (by name, missing ones left out) and the image's own settings together.

    With a `start_command` (ps:set dockerfile-start-cmd) the image needs none of its own.
    """
    procfile = parse_procfile(files[PROCFILE]) if PROCFILE in files else {}
    release = procfile.pop(ProcessType(RELEASE), None)
    processes: dict[ProcessType, str | None] = {**procfile}
    if not processes:
        if not (image.command or image.entrypoint or start_command):
            raise NothingToRun()
        processes[WEB] = None
    aptible, hooks = parse_aptible_yml(files[APTIBLE_YML], console) if APTIBLE_YML in files else ([], {})
    json = parse_app_json(files[APP_JSON], console, app) if APP_JSON in files else AppJson()
    before = [
        *_task(PREDEPLOY, APP_JSON, json.predeploy),
        *_task(RELEASE, PROCFILE, release),
        *aptible,
        *_task(FIRST_POSTDEPLOY, APP_JSON, json.first_postdeploy),
    ]
    return Manifest(
        processes=processes,
        port=image.lowest_port or DEFAULT_PORT,
        before=tuple(before),
        checks=json.checks,
        hooks=hooks,
        implicit=processes == {WEB: None},
        cron=json.cron,
        after=tuple(_task(POSTDEPLOY, APP_JSON, json.postdeploy)),
        env=json.env,
        formation=json.formation,
        max_parallel=json.max_parallel,
        app_json=APP_JSON in files,
    )


def _task(phase: str, origin: str, command: str | None) -> list[PhaseCommand]:
    return [PhaseCommand(phase, origin, command)] if command else []


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


class _Loader(yaml.SafeLoader):
    """The safe one, but for merges of merges (``<<: [*a, *a]``), of which a few lines would fill the memory."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_MERGED:
            raise yaml.constructor.ConstructorError(None, None, "too much is merged (<<)", node.start_mark)


def parse_aptible_yml(data: bytes, console: Console) -> tuple[list[PhaseCommand], dict[str, tuple[str, ...]]]:
    """The commands to run before a release, and those of the after_* hooks. Raises InvalidAptibleYml with line and column."""
    try:
        # No other class than a safe one's child.
        document = yaml.load(data, _Loader)  # noqa: S506
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InvalidAptibleYml(where=where, reason=printable(reason)) from None
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        # What PyYAML makes of tags such as `!!int ""`.
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
