"""Config as text: what config:export prints and what config:import reads. Pure functions on ``{key: value}``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from paas.errors import PaasError
from paas.model.names import ConfigKey, printable

Values = dict[str, str]

_ENVFILE_ESCAPES = {"\\": "\\\\", '"': '\\"', "!": "\\!", "$": "\\$", "`": "\\`", "\n": "\\n", "\r": "\\r"}
_CONTROLS = {"n": "\n", "r": "\r"}
_ENTRY = re.compile(r"(?:export[ \t]+)?([^\s=:]+)[ \t]*[=:][ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")


class UnknownFormat(PaasError):
    """Unknown {verb} format: {given}"""


class UnreadableConfig(PaasError):
    """The config can't be read: {reason}. Nothing was changed"""


def single_quoted(text: str) -> str:
    """As a POSIX shell reads it back."""
    return "'" + text.replace("'", "'\\''") + "'"


def aligned(values: Values, indent: str = "") -> str:
    """``KEY:  value`` lines, the values below each other."""
    width = max(map(len, values), default=0) + 1
    return "\n".join(f"{indent}{(key + ':').ljust(width)}  {value}" for key, value in sorted(values.items()))


def _envfile_line(key: str, value: str) -> str:
    if re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value):
        return f"{key}={value}"
    return f'{key}="{"".join(_ENVFILE_ESCAPES.get(c, c) for c in value)}"'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _joined(prefix: str, separator: str) -> Callable[[Values], str]:
    return lambda values: separator.join(f"{prefix}{k}={single_quoted(v)}" for k, v in values.items())


EXPORTS: dict[str, Callable[[Values], str]] = {
    "exports": _joined("export ", "\n"),
    "envfile": lambda values: "\n".join(_envfile_line(k, v) for k, v in values.items()),
    "docker-args": _joined("--env=", " "),
    "docker-args-keys": lambda values: " ".join(f"--env={key}" for key in values),
    "shell": _joined("", " "),
    "pretty": aligned,
    "json": _json,
    "json-list": lambda values: _json([{"name": k, "value": v} for k, v in values.items()] or None),
    "pack-keys": lambda values: " ".join(f"--env {key}" for key in values),
}


def export(name: str, values: Values) -> str:
    """All of what config:export prints. Raises UnknownFormat."""
    if name not in EXPORTS:
        raise UnknownFormat(verb="export", given=printable(name))
    return EXPORTS[name](dict(sorted(values.items()))) + (" " if name == "shell" else "\n")


def parse(name: str, text: str) -> Values:
    """What config:import reads: ``envfile`` or ``json``. Raises UnknownFormat, UnreadableConfig, InvalidKeyName."""
    readers = {"envfile": _parse_envfile, "json": _parse_json}
    if name not in readers:
        raise UnknownFormat(verb="import", given=printable(name))
    values = readers[name](text)
    for key, value in values.items():
        ConfigKey.parse(key)
        if "\0" in value:
            raise UnreadableConfig(reason=f"the value of {key} holds a NUL byte")
    return values


def _parse_json(text: str) -> Values:
    """An object of keys and values, or a list of ``{"name": …, "value": …}``."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableConfig(reason="it is no JSON document") from None
    if isinstance(data, list) and all(
        isinstance(item, dict) and {"name", "value"} <= set(item) for item in data
    ):
        data = {str(item["name"]): item["value"] for item in data}
    if not isinstance(data, dict) or not all(isinstance(value, str | int | float) for value in data.values()):
        raise UnreadableConfig(reason="it is no JSON object of names and texts")
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}


def _parse_envfile(text: str) -> Values:
    """``KEY=value`` lines, ``export`` before them and comments allowed.

    A value in single quotes is taken as it is, one in double quotes has backslash escapes; both may go over several
    lines and stand next to each other, as in a shell. Nothing is expanded. A value without quotes ends with its line or
    before `` #``.
    """
    text = text.removeprefix("\ufeff")
    values: Values = {}
    position = 0
    while (position := _blank_end(text, position)) < len(text):
        entry = _ENTRY.match(text, position)
        if entry is None:
            line = text[position:].partition("\n")[0]
            raise UnreadableConfig(reason=f"{printable(line, 20)} is no KEY=VALUE")
        position = entry.end()
        if text[position : position + 1] in ("'", '"'):
            values[entry[1]], position = _quoted(text, position, entry[1])
        else:
            line = text[position:].partition("\n")[0]
            position += len(line)
            values[entry[1]] = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
    return values


def _blank_end(text: str, position: int) -> int:
    """Past blanks, line ends and comments."""
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _quoted(text: str, position: int, key: str) -> tuple[str, int]:
    """A value that starts with a quote, and where what follows it begins."""
    parts: list[str] = []
    while position < len(text) and text[position] not in " \t\r\n":
        mark = text[position]
        if mark == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise UnreadableConfig(reason=f"the value of {printable(key)} has an unclosed quote")
            parts.append(text[position + 1 : end])
            position = end + 1
        elif mark == '"':
            part, position = _double_quoted(text, position + 1, key)
            parts.append(part)
        elif mark == "\\" and position + 1 < len(text):
            parts.append(text[position + 1])
            position += 2
        else:
            parts.append(mark)
            position += 1
    return "".join(parts), position


def _double_quoted(text: str, position: int, key: str) -> tuple[str, int]:
    parts: list[str] = []
    while position < len(text):
        character = text[position]
        if character == '"':
            return "".join(parts), position + 1
        if character == "\\" and position + 1 < len(text):
            position += 1
            character = _CONTROLS.get(text[position], text[position])
        parts.append(character)
        position += 1
    raise UnreadableConfig(reason=f"the value of {printable(key)} has an unclosed quote")
