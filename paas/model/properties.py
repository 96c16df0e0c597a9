"""Which properties apps and the installation have, per namespace: the words of `GROUP:set` and `GROUP:report`.

The names and the defaults are Dokku's (reference sections 1.7 and 3.2).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from paas.errors import PaasError
from paas.model import network
from paas.model.image import DEFAULT_REGISTRY, ImageRef, is_repository, is_tag, registry_server
from paas.model.names import BranchName, ConfigKey, printable, whole_number
from paas.model.private_hosts import parse_hosts

BOTH: Literal["both"] = "both"
APP: Literal["app"] = "app"
GLOBAL_ONLY: Literal["global"] = "global"

DAY_SECONDS = 24 * 3600
MAX_PATH = 200
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
APP_NAME_MARK = re.compile(r"\{\{\s*\.AppName\s*\}\}")


class InvalidValue(PaasError):
    """Invalid value for {key}: {given}. Give {expected}. Nothing was changed"""


class NoSuchBuilder(PaasError):
    """paas builds Dockerfiles only: there is no builder {given}. Nothing was changed. Give dockerfile, or no value"""


class InvalidRestartPolicy(PaasError):
    """Invalid restart-policy specified"""


class NoVector(PaasError):
    """Vector is not supported: logs stay with Docker. Nothing was changed. To send them elsewhere, use docker-options:add APP deploy --log-driver=…"""


@dataclass(frozen=True)
class Property:
    """One setting. `scope`: where it can be set. `parse` turns what was typed into what is stored, or raises.
    `keeps_empty`: no value is a value too, which an unset stores."""

    key: str
    default: str = ""
    scope: Literal["both", "app", "global"] = BOTH
    parse: Callable[[str], str] = str
    keeps_empty: bool = False


def _yes_or_no(key: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in ("true", "false"):
            raise InvalidValue(key=key, given=printable(text), expected="true or false")
        return text

    return parse


def _number(key: str, lowest: int, highest: int) -> Callable[[str], str]:
    def parse(text: str) -> str:
        number = whole_number(text, lowest, highest)
        if number is None:
            expected = f"a whole number from {lowest} to {highest}"
            raise InvalidValue(key=key, given=printable(text), expected=expected)
        return str(number)

    return parse


def _one_of(key: str, *words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise InvalidValue(key=key, given=printable(text), expected=" or ".join(words))
        return text

    return parse


def yes_or_no(key: str, default: str = "false", scope: Literal["both", "app", "global"] = BOTH) -> Property:
    return Property(key, default, scope, _yes_or_no(key))


def number(key: str, default: str, lowest: int, highest: int) -> Property:
    return Property(key, default, BOTH, _number(key, lowest, highest))


def one_of(key: str, *words: str) -> Property:
    """A choice; the first word is the default."""
    return Property(key, words[0], BOTH, _one_of(key, *words))


def _repository(key: str, expected: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        with contextlib.suppress(PaasError):
            found = ImageRef.parse(rendered_repository(text, "app"))
            if found.tag is None and found.digest is None:
                return text
        raise InvalidValue(key=key, given=printable(text), expected=f"a path such as {expected}")

    return parse


def rendered_repository(template: str, app: str) -> str:
    """``{{ .AppName }}`` in an image-repo-template filled in."""
    return APP_NAME_MARK.sub(app, template)


def _tags(text: str) -> str:
    tags = [tag.strip() for tag in text.split(",")]
    if not all(map(is_tag, tags)):
        raise InvalidValue(key="push-extra-tags", given=printable(text), expected="tags such as latest,stable")
    return ",".join(tags)


def _server(text: str) -> str:
    """A host, and the path below it where there is one (``ghcr.io/team``); empty for Docker Hub."""
    bare = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    path = bare.partition("/")[2]
    host = registry_server(bare)
    if path and not is_repository(path):
        raise InvalidValue(key="server", given=printable(text), expected="a host such as registry.example.com")
    return f"{host}/{path}" if path and host != DEFAULT_REGISTRY else host


def _path(key: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        parts = text.removesuffix("/").split("/")
        bad = any(part in ("", ".", "..", ".git") for part in parts)
        if bad or text.startswith("-") or len(text) > MAX_PATH or printable(text, MAX_PATH) != text:
            expected = "a path below the top of the repository, such as deploy/web"
            raise InvalidValue(key=key, given=printable(text), expected=expected)
        return "/".join(parts)

    return parse


def file_path(key: str, default: str = "") -> Property:
    """A path in a commit: relative, without ``..``."""
    return Property(key, default, BOTH, _path(key))


def _builder(text: str) -> str:
    if text != "dockerfile":
        raise NoSuchBuilder(given=printable(text))
    return text


def _restart_policy(text: str) -> str:
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[0-9]{1,6})?", text):
        raise InvalidRestartPolicy()
    return text


def _log_size(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,9}[kmg]|unlimited", text):
        expected = "a number and one of k, m, g such as 10m, or unlimited"
        raise InvalidValue(key="max-size", given=printable(text), expected=expected)
    return text


def _bundle(text: str) -> str:
    if not text.startswith("/") or printable(text, MAX_PATH) != text:
        raise InvalidValue(key="acme-ca", given=printable(text), expected="the whole path of a PEM file on the host")
    return text


def _directory(text: str) -> str:
    try:
        url = urlsplit(text)
        good = url.scheme == "https" and bool(url.hostname) and url.port != 0 and url.username is None
    except ValueError:
        good = False
    if not good or printable(text, MAX_PATH) != text or " " in text:
        expected = f"the https URL of an ACME directory, such as {LETS_ENCRYPT}"
        raise InvalidValue(key="acme-directory", given=printable(text), expected=expected)
    return text


def _mail(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text) or len(text) > MAX_PATH:
        raise InvalidValue(key="acme-email", given=printable(text), expected="an e-mail address")
    return text


def _min_free(text: str) -> str:
    if not re.fullmatch(r"0|[1-9][0-9]{0,14}[kmgt]?|[1-9][0-9]?%", text.lower()):
        expected = "a size such as 500m or 2g, a share such as 5%, or 0 for no limit"
        raise InvalidValue(key="min-free", given=printable(text), expected=expected)
    return text.lower()


def _build_cache(text: str) -> str:
    if not re.fullmatch(r"0|off|[1-9][0-9]{0,14}[kmgt]?", text.lower()):
        expected = "a size such as 500m or 20g, 0 to keep nothing, or off for no limit"
        raise InvalidValue(key="build-cache", given=printable(text), expected=expected)
    return text.lower()


def _no_vector(text: str) -> str:
    raise NoVector()


NAMESPACES: dict[str, dict[str, Property]] = {
    namespace: {item.key: item for item in items}
    for namespace, items in {
        "app": (
            Property("deploy-source", scope=APP),
            Property("deploy-source-metadata", scope=APP),
            yes_or_no("disable-autocreation", scope=GLOBAL_ONLY),
        ),
        "app-json": (file_path("appjson-path", "app.json"),),
        "builder": (
            file_path("build-dir"),
            Property("selected", parse=_builder),
            yes_or_no("skip-cleanup"),
        ),
        "builder-dockerfile": (file_path("dockerfile-path", "Dockerfile"),),
        "builds": (number("retention", "20", 1, 10_000),),
        "certs": (
            Property("acme-ca", scope=GLOBAL_ONLY, parse=_bundle),
            Property("acme-directory", LETS_ENCRYPT, GLOBAL_ONLY, _directory),
            Property("acme-email", scope=GLOBAL_ONLY, parse=_mail),
            yes_or_no("hsts", "true"),
            yes_or_no("redirect", "true"),
        ),
        "checks": (number("wait-to-retire", "60", 0, DAY_SECONDS),),
        "cron": (
            Property("mailfrom", scope=GLOBAL_ONLY),
            Property("mailto", scope=GLOBAL_ONLY),
            yes_or_no("maintenance"),
        ),
        "git": (
            number("archive-max-files", "10000", 1, 10**9),
            number("archive-max-size", "1073741824", 1, 10**15),
            Property("deploy-branch", "master", parse=BranchName.parse),
            yes_or_no("keep-git-dir"),
            Property("private-hosts", scope=GLOBAL_ONLY, parse=parse_hosts),
            number("push-max-objects", "2000000", 1, 10**9),
            number("push-max-size", "4294967296", 1, 10**15),
            Property("rev-env-var", "GIT_REV", parse=ConfigKey.parse, keeps_empty=True),
            Property("source-image"),
        ),
        "logs": (
            Property("app-label-alias", "com.dokku.app-name"),
            Property("max-size", "10m", parse=_log_size),
            Property("vector-cron-sink", parse=_no_vector),
            Property("vector-image", scope=GLOBAL_ONLY, parse=_no_vector),
            Property("vector-networks", scope=GLOBAL_ONLY, parse=_no_vector),
            Property("vector-sink", parse=_no_vector),
        ),
        "network": (
            Property("attach-post-create", parse=network.attachments),
            Property("attach-post-deploy", parse=network.attachments),
            yes_or_no("bind-all-interfaces"),
            Property("initial-network", parse=network.initial_network),
            Property("static-web-listener", scope=APP, parse=network.static_listeners),
            Property("tld", parse=network.tld),
        ),
        "proxy": (
            yes_or_no("disabled", scope=APP),
            number("proxy-port", "", 1, 65535),
            number("proxy-ssl-port", "", 1, 65535),
            one_of("type", "haproxy", "nginx"),
        ),
        "ps": (
            Property("dockerfile-start-cmd", scope=APP),
            file_path("procfile-path", "Procfile"),
            Property("restart-policy", "on-failure:10", parse=_restart_policy),
            yes_or_no("restore", "true", APP),
            yes_or_no("skip-deploy"),
            Property("start-cmd", scope=APP),
            number("stop-timeout-seconds", "30", 0, 900),
        ),
        "registry": (
            Property("image-repo", scope=APP, parse=_repository("image-repo", "team/app")),
            Property(
                "image-repo-template", parse=_repository("image-repo-template", "team/{{ .AppName }}")
            ),
            yes_or_no("push-on-release"),
            Property("push-extra-tags", parse=_tags),
            Property("server", parse=_server),
        ),
        "releases": (number("retention", "10", 1, 1000),),
        "disk": (
            Property("min-free", scope=GLOBAL_ONLY, parse=_min_free),
            Property("build-cache", "20g", scope=GLOBAL_ONLY, parse=_build_cache),
        ),
        "scheduler": (one_of("selected", "docker-local"), Property("shell")),
        "scheduler-docker-local": (
            yes_or_no("init-process", "true"),
            number("parallel-schedule-count", "1", 1, 100),
        ),
    }.items()
}


def default_of(namespace: str, key: str) -> str:
    """What an unset property reads as; empty for keys that are not declared (internal ones)."""
    found = NAMESPACES.get(namespace, {}).get(key)
    return found.default if found else ""
