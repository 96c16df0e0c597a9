"""app.json's `healthchecks`: how the processes of each type are checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

from paas.errors import PaasError
from paas.model.names import ProcessType, printable
from paas.model.release import Check, CheckKind

MAX_SECONDS = 24 * 60 * 60
MAX_ATTEMPTS = 1000
MEANS = ("path", "command", "listening", "uptime")
KINDS = get_args(CheckKind)
SCHEMES = ("http", "https")
KEYS = {
    *MEANS,
    *("type", "name", "port", "scheme", "content", "httpHeaders"),
    *("attempts", "timeout", "wait", "initialDelay", "warn"),
}
_URL_PATH = re.compile(r"/[!-~]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~A-Za-z0-9-]+:[ -~\xa0-\xff]*")

Warn = Callable[[str, dict[str, Any], set[str]], None]


class InvalidAppJson(PaasError):
    """Invalid app.json: {where}{reason}. Nothing was deployed"""


def mapping(value: object, name: str) -> dict[str, Any]:
    """An object of app.json, empty for null. Raises InvalidAppJson."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidAppJson(where=f"{name}: ", reason="expected an object")
    return value


def parse_checks(value: object, warn: Warn) -> dict[ProcessType, tuple[Check, ...]]:
    """The checks of each process type; types without any are left out. Raises InvalidAppJson.

    `warn` is given each check's place, keys, and the keys that are known.
    """
    checks: dict[ProcessType, tuple[Check, ...]] = {}
    for name, items in mapping(value, "healthchecks").items():
        place = f"healthchecks.{printable(name)}"
        if not isinstance(items, list):
            raise InvalidAppJson(where=f"{place}: ", reason="expected a list")
        found = []
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise InvalidAppJson(where=f"{place}[{index}]: ", reason="expected an object")
            warn(f"{place}[{index}].", item, KEYS)
            found.append(_check(item, f"{place}[{index}]: "))
        if found:
            checks[ProcessType.parse(name)] = tuple(found)
    return checks


def _check(item: dict[str, Any], where: str) -> Check:
    given = [key for key in MEANS if item.get(key)]
    if len(given) != 1:
        raise InvalidAppJson(
            where=where, reason="needs exactly one of path, command, listening and uptime"
        )
    means = given[0]
    try:
        check = Check(
            name=str(item.get("name", means)),
            path=item["path"] if means == "path" else None,
            port=int(item["port"]) if item.get("port") else None,
            content=str(item.get("content", "")),
            headers=tuple((str(h["name"]), str(h["value"])) for h in item.get("httpHeaders") or ()),
            command=tuple(item["command"]) if means == "command" else (),
            listening=means == "listening",
            uptime=int(item["uptime"]) if means == "uptime" else None,
            attempts=int(item.get("attempts", 3)),
            timeout=float(item.get("timeout", 5)),
            wait=float(item.get("wait", 5)),
            initial_delay=float(item.get("initialDelay", 0)),
            warn_only=bool(item.get("warn", False)),
            scheme=str(item.get("scheme") or "http").lower(),
            kind=item.get("type") or "startup",
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
        (check.kind in KINDS, "type has to be startup, readiness or liveness"),
        (check.scheme in SCHEMES, "scheme has to be http or https"),
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
