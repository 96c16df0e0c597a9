"""Words as `docker run` takes them, turned into what the engine's create call takes: one table, a line a flag.

Later words count more than earlier ones. A flag that paas can't take raises BadOption with the reason.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from paas.engine import option_values as values
from paas.errors import PaasError
from paas.model.names import printable

Apply = Callable[["Options", str], None]
# Networks that can't be combined with another one.
LONELY_NETWORKS = ("host", "none")
FILE_LOG_DRIVERS = ("json-file", "local")


class BadOption(PaasError):
    """The Docker option {option} can't be taken: {reason}. Nothing was changed"""


@dataclass
class Options:
    """What the words ask for. `config` and `host` are keys of the create call and of its HostConfig, as the API
    spells them. `networks` are names with their endpoint settings; the first one is the container's own, the others are
    joined before it starts. `mounts` go by their path in the container: a Binds entry ("" for an anonymous volume), a
    Mount, or a tuple of a tmpfs's options."""

    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, str | tuple[str] | dict[str, Any]] = field(default_factory=dict)
    healthcheck: dict[str, Any] = field(default_factory=dict)
    log_options: dict[str, str] = field(default_factory=dict)
    log_driver: str | None = None
    restart: dict[str, Any] | None = None
    platform: str | None = None


def parse(words: Iterable[str]) -> Options:
    """Read words (``-v /a:/b --memory=1g``). Raises BadOption."""
    options = Options()
    for flag, value in option_pairs(words):
        try:
            (VALUES.get(flag) or BOOLEANS[flag])(options, value)
        except ValueError as error:
            raise BadOption(option=flag, reason=printable(str(error), 300)) from None
    return options


def option_pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The flags of `docker run` by their long names, and their values. Raises BadOption."""
    return pairs(words, VALUES, BOOLEANS, REFUSED)


def pairs(
    words: Iterable[str], with_value: Iterable[str], alone: Iterable[str], refused: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """The flags by their long names, each with its value (``true`` for one that stands alone), in order.

    Understands ``--flag value``, ``--flag=value``, ``-fvalue``, and a word that holds both (``--flag value``).
    """
    rest = list(words)
    while rest:
        flag, value = _split(rest.pop(0))
        flag = NAMES.get(flag, flag)
        if flag in refused:
            raise BadOption(option=flag, reason=refused[flag])
        if flag in alone:
            yield flag, "true" if value is None else value
        elif flag in with_value:
            if value is None and not rest:
                raise BadOption(option=flag, reason="it needs a value")
            yield flag, rest.pop(0) if value is None else value
        else:
            unknown = "it is not known here" if flag.startswith("-") else "it does not begin with -"
            raise BadOption(option=printable(flag) or "''", reason=unknown)


def joined(found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Flags and values as words again."""
    return tuple(f"{flag}={value}" for flag, value in found)


def without(words: Iterable[str], *flags: str) -> tuple[str, ...]:
    """The words but for some flags, given by their long names. Raises BadOption."""
    return joined(item for item in option_pairs(words) if item[0] not in flags)


def _split(word: str) -> tuple[str, str | None]:
    """A word's flag and the value that it carries, None where the next word is the value."""
    if not word.startswith("-"):
        return word, None
    ends = [place for place in (word.find(" "), word.find("=")) if place > 0]
    if word.startswith("--"):
        flag, rest = (word[: min(ends)], word[min(ends) + 1 :]) if ends else (word, None)
        return flag, rest.strip() if rest is not None and word[min(ends)] == " " else rest
    flag, rest = word[:2], word[2:]
    return flag, rest.strip().removeprefix("=") or None


def apply(options: Options, config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Put the options into a create call's body, over what is there. Returns the further networks to be joined, each
    with its endpoint settings."""
    host = config["HostConfig"]
    config.update(copy.deepcopy(options.config))
    for key, value in copy.deepcopy(options.host).items():
        host[key] = host[key] | value if isinstance(host.get(key), dict) else value
    config["Labels"] = options.labels | (config.get("Labels") or {})
    config["Env"] = [f"{key}={value}" for key, value in (_environment(config) | options.environment).items()]
    if options.healthcheck:
        config["Healthcheck"] = dict(options.healthcheck)
    if "PortBindings" in options.host:
        config["ExposedPorts"] = {port: {} for port in options.host["PortBindings"]} | (
            config.get("ExposedPorts") or {}
        )
    _apply_log(options, host)
    _apply_mounts(options, config, host)
    return _apply_networks(options, config, host)


def _environment(config: dict[str, Any]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in config.get("Env") or () if "=" in item)


def _apply_log(options: Options, host: dict[str, Any]) -> None:
    log = host.setdefault("LogConfig", {"Type": "json-file", "Config": {}})
    driver = options.log_driver or log["Type"]
    given = log["Config"] if driver in FILE_LOG_DRIVERS else {}
    host["LogConfig"] = {"Type": driver, "Config": given | options.log_options}


def _apply_mounts(options: Options, config: dict[str, Any], host: dict[str, Any]) -> None:
    for path, item in options.mounts.items():
        if isinstance(item, dict):
            host.setdefault("Mounts", []).append(item)
        elif isinstance(item, tuple):
            host.setdefault("Tmpfs", {})[path] = item[0]
        elif item:
            host.setdefault("Binds", []).append(item)
        else:
            config["Volumes"] = {path: {}} | (config.get("Volumes") or {})


def _apply_networks(
    options: Options, config: dict[str, Any], host: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    names = dict(options.networks)
    last = next(reversed(names), "")
    if is_lonely(last):
        names = {last: {}}
    first = next(iter(names), host.get("NetworkMode") or "bridge")
    endpoint = ((config.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}).get(first) or {}
    endpoint = endpoint | names.pop(first, {})
    host["NetworkMode"] = first
    config["NetworkingConfig"] = None
    if options.aliases:
        endpoint["Aliases"] = [*(endpoint.get("Aliases") or ()), *options.aliases]
    if options.addresses:
        endpoint["IPAMConfig"] = (endpoint.get("IPAMConfig") or {}) | options.addresses
    if options.links:
        # The engine knows links of its default network in another place.
        (host if first in ("bridge", "default") else endpoint)["Links"] = list(options.links)
    if endpoint:
        config["NetworkingConfig"] = {"EndpointsConfig": {first: endpoint}}
    return list(names.items())


def is_lonely(network: str) -> bool:
    """Whether a container on it can be on no other."""
    return network in LONELY_NETWORKS or network.startswith("container:")


def _host(key: str, read: Callable[[str], Any] = values.some) -> Apply:
    """A value of HostConfig."""

    def apply_value(options: Options, text: str) -> None:
        options.host[key] = read(text)

    return apply_value


def _each(key: str, read: Callable[[str], Any] = values.some) -> Apply:
    """A list of HostConfig; what is there already isn't added again."""

    def apply_item(options: Options, text: str) -> None:
        items, item = options.host.setdefault(key, []), read(text)
        if item not in items:
            items.append(item)

    return apply_item


def _mapped(key: str) -> Apply:
    """A mapping of HostConfig."""

    def apply_entry(options: Options, text: str) -> None:
        options.host.setdefault(key, {}).update([values.pair(text)])

    return apply_entry


def _config(key: str, read: Callable[[str], Any] = values.some) -> Apply:
    """A value beside HostConfig."""

    def apply_value(options: Options, text: str) -> None:
        options.config[key] = read(text)

    return apply_value


def _health(key: str, read: Callable[[str], Any]) -> Apply:
    def apply_value(options: Options, text: str) -> None:
        options.healthcheck[key] = read(text)

    return apply_value


def _attribute(name: str, read: Callable[[str], Any] = values.some) -> Apply:
    """An attribute of Options itself: a value, or one more entry of a list or mapping."""

    def apply_value(options: Options, text: str) -> None:
        there, value = getattr(options, name), read(text)
        if isinstance(there, dict) and isinstance(value, tuple):
            # Said again, it moves to the end: the later one counts.
            there.pop(value[0], None)
            there[value[0]] = value[1]
        elif isinstance(there, list):
            there.append(value)
        else:
            setattr(options, name, value)

    return apply_value


def _publish(options: Options, text: str) -> None:
    bindings = options.host.setdefault("PortBindings", {})
    for port, entries in values.published(text).items():
        bindings.setdefault(port, []).extend(item for item in entries if item not in bindings.get(port, ()))


def _expose(options: Options, text: str) -> None:
    options.config.setdefault("ExposedPorts", {}).update(values.exposed(text))


def _tmpfs(options: Options, text: str) -> None:
    path, given = values.tmpfs(text)
    options.mounts[path] = (given,)


def _volume(options: Options, text: str) -> None:
    path, bind = values.volume(text)
    options.mounts[path] = bind


def _security(options: Options, text: str) -> None:
    if values.security(text) == "systempaths=unconfined":
        options.host |= {"MaskedPaths": [], "ReadonlyPaths": []}
    else:
        _each("SecurityOpt", values.security)(options, text)


def _no_healthcheck(options: Options, text: str) -> None:
    if values.boolean(text):
        options.healthcheck = {"Test": ["NONE"]}


def _oom_score(text: str) -> int:
    return int(values.integer(-1000, 1000)(text))


VALUES: dict[str, Apply] = {
    "--add-host": _each("ExtraHosts", values.host_entry),
    "--blkio-weight": _host("BlkioWeight", values.integer(0, 1000)),
    "--cap-add": _each("CapAdd"),
    "--cap-drop": _each("CapDrop"),
    "--cgroup-parent": _host("CgroupParent"),
    "--cgroupns": _host("CgroupnsMode"),
    "--cpu-period": _host("CpuPeriod", values.integer(0)),
    "--cpu-quota": _host("CpuQuota", values.integer(-1)),
    "--cpu-shares": _host("CpuShares", values.integer(0)),
    "--cpus": _host("NanoCpus", values.cpus),
    "--cpuset-cpus": _host("CpusetCpus"),
    "--cpuset-mems": _host("CpusetMems"),
    "--device": _each("Devices", values.device),
    "--device-cgroup-rule": _each("DeviceCgroupRules"),
    "--device-read-bps": _each("BlkioDeviceReadBps", values.throttle),
    "--device-read-iops": _each("BlkioDeviceReadIOps", values.throttle),
    "--device-write-bps": _each("BlkioDeviceWriteBps", values.throttle),
    "--device-write-iops": _each("BlkioDeviceWriteIOps", values.throttle),
    "--dns": _each("Dns"),
    "--dns-option": _each("DnsOptions"),
    "--dns-search": _each("DnsSearch"),
    "--domainname": _config("Domainname"),
    "--entrypoint": _config("Entrypoint", lambda text: [text]),
    "--env": _attribute("environment", values.pair),
    "--expose": _expose,
    "--gpus": _host("DeviceRequests", lambda text: [values.gpus(text)]),
    "--group-add": _each("GroupAdd"),
    "--health-cmd": _health("Test", lambda text: ["CMD-SHELL", values.some(text)]),
    "--health-interval": _health("Interval", values.duration),
    "--health-retries": _health("Retries", values.integer(0, 10_000)),
    "--health-start-period": _health("StartPeriod", values.duration),
    "--health-timeout": _health("Timeout", values.duration),
    "--hostname": _config("Hostname", values.host_name),
    "--ip": _attribute("addresses", lambda text: ("IPv4Address", values.some(text))),
    "--ip6": _attribute("addresses", lambda text: ("IPv6Address", values.some(text))),
    "--ipc": _host("IpcMode"),
    "--isolation": _host("Isolation"),
    "--label": _attribute("labels", values.label),
    "--link": _attribute("links"),
    "--log-driver": _attribute("log_driver"),
    "--log-opt": _attribute("log_options", values.pair),
    "--mac-address": _config("MacAddress"),
    "--memory": _host("Memory", values.size),
    "--memory-reservation": _host("MemoryReservation", values.size),
    "--memory-swap": _host("MemorySwap", values.size_or_unlimited),
    "--memory-swappiness": _host("MemorySwappiness", values.integer(-1, 100)),
    "--mount": _attribute("mounts", values.mount),
    "--network": _attribute("networks", values.network),
    "--network-alias": _attribute("aliases"),
    "--oom-score-adj": _host("OomScoreAdj", _oom_score),
    "--pid": _host("PidMode"),
    "--pids-limit": _host("PidsLimit", values.integer(-1)),
    "--platform": _attribute("platform"),
    "--publish": _publish,
    "--restart": _attribute("restart", values.restart_policy),
    "--runtime": _host("Runtime"),
    "--security-opt": _security,
    "--shm-size": _host("ShmSize", values.size),
    "--stop-signal": _config("StopSignal"),
    "--stop-timeout": _config("StopTimeout", values.integer(0, 86_400)),
    "--storage-opt": _mapped("StorageOpt"),
    "--sysctl": _mapped("Sysctls"),
    "--tmpfs": _tmpfs,
    "--ulimit": _each("Ulimits", values.ulimit),
    "--user": _config("User"),
    "--userns": _host("UsernsMode"),
    "--uts": _host("UTSMode"),
    "--volume": _volume,
    "--volume-driver": _host("VolumeDriver"),
    "--volumes-from": _each("VolumesFrom"),
    "--workdir": _config("WorkingDir", values.absolute),
}
BOOLEANS: dict[str, Apply] = {
    "--init": _host("Init", values.boolean),
    "--no-healthcheck": _no_healthcheck,
    "--oom-kill-disable": _host("OomKillDisable", values.boolean),
    "--privileged": _host("Privileged", values.boolean),
    "--publish-all": _host("PublishAllPorts", values.boolean),
    "--read-only": _host("ReadonlyRootfs", values.boolean),
}
NAMES = {
    "-c": "--cpu-shares", "-e": "--env", "-h": "--hostname", "-l": "--label", "-m": "--memory", "-p": "--publish",
    "-P": "--publish-all", "-u": "--user", "-v": "--volume", "-w": "--workdir", "--net": "--network",
    "--net-alias": "--network-alias", "--dns-opt": "--dns-option",
    "-a": "--attach", "-d": "--detach", "-i": "--interactive", "-t": "--tty",
}  # fmt: skip
_OURS = "paas itself decides that"
REFUSED = {
    **dict.fromkeys(
        (
            "--attach",
            "--detach",
            "--interactive",
            "--tty",
            "--rm",
            "--name",
            "--cidfile",
            "--sig-proxy",
            "--pull",
        ),
        _OURS,
    ),
    "--env-file": "no file of the host is read for an option. Give each value with --env, or with config:set",
    "--label-file": "no file of the host is read for an option. Give each label with --label",
    "--build-arg": "it is an option of the build phase",
}
