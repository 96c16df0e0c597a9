"""What the values of `docker run` options mean: sizes, durations, ports, mounts, … as the engine's API wants them.

Every function takes the text of one value and raises ValueError with a reason that reads well after the option's name.
"""

from __future__ import annotations

import csv
import re
from typing import Any

UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
PROTOCOLS = ("tcp", "udp", "sctp")
RESTART_POLICIES = ("no", "always", "unless-stopped", "on-failure")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgtp]?)(?:i?b)?", re.IGNORECASE)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_VOLUME_MODES = {
    "ro", "rw", "z", "Z", "nocopy", "consistent", "cached", "delegated",
    "shared", "rshared", "slave", "rslave", "private", "rprivate",
}  # fmt: skip


def size(text: str) -> int:
    """Bytes of ``256m``, ``1.5g``, ``1024``: without a unit they are bytes."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size like 256m or 1g")
    return int(float(match[1]) * UNITS[match[2].lower()])


def size_or_unlimited(text: str) -> int:
    """As `size`; -1 for no limit."""
    return -1 if text == "-1" else size(text)


def duration(text: str) -> int:
    """Nanoseconds of ``30s``, ``1m30s``."""
    if text == "0":
        return 0
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration like 30s or 1m30s")
    return int(sum(float(number) * NANOSECONDS[unit] for number, unit in parts))


def integer(lowest: int, highest: int = 2**63 - 1) -> Any:
    """A reader of whole numbers within bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,19}", text) or not lowest <= int(text) <= highest:
            raise ValueError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return read


def cpus(text: str) -> int:
    """Billionths of a processor of ``0.5``."""
    if not re.fullmatch(r"\d+(\.\d{1,9})?|\.\d{1,9}", text) or float(text) == 0:
        raise ValueError(f"{text!r} is not a number of processors like 0.5 or 2")
    return round(float(text) * 10**9)


def boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "t"):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def some(text: str) -> str:
    if not text:
        raise ValueError("it needs a value")
    return text


def pair(text: str) -> tuple[str, str]:
    """``NAME=VALUE``."""
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    return name, value


def label(text: str) -> tuple[str, str]:
    """``NAME[=VALUE]``; those of paas itself are not for users."""
    name, _, value = text.partition("=")
    if not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    if name.startswith("paas."):
        raise ValueError("labels that begin with paas. are paas's own")
    return name, value


def host_entry(text: str) -> str:
    """``NAME:ADDRESS`` of --add-host, the newer ``NAME=ADDRESS`` too."""
    match = re.fullmatch(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)[:=](\S+)", text)
    if not match:
        raise ValueError(f"{text!r} is not NAME:ADDRESS")
    return f"{match[1]}:{match[2].strip('[]')}"


def host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a host name")
    return text


def ulimit(text: str) -> dict[str, Any]:
    """``nofile=1024[:2048]``."""
    match = re.fullmatch(r"([a-z]+)=(-1|\d+)(?::(-1|\d+))?", text)
    if not match:
        raise ValueError(f"{text!r} is not NAME=SOFT[:HARD]")
    return {"Name": match[1], "Soft": int(match[2]), "Hard": int(match[3] or match[2])}


def restart_policy(text: str) -> dict[str, Any]:
    """``no``, ``always``, ``unless-stopped``, ``on-failure[:N]`` as the engine's RestartPolicy."""
    name, separator, count = text.partition(":")
    if name not in RESTART_POLICIES or (
        separator and (name != "on-failure" or not re.fullmatch(r"\d{1,6}", count))
    ):
        raise ValueError(f"{text!r} is not one of no, always, unless-stopped, on-failure[:N]")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def device(text: str) -> dict[str, str]:
    """``/dev/x[:/dev/y][:rwm]``."""
    parts = text.split(":")
    permissions = parts.pop() if len(parts) > 1 and re.fullmatch(r"[rwm]{1,3}", parts[-1]) else "rwm"
    if len(parts) > 2 or not all(part.startswith("/") for part in parts):
        raise ValueError(f"{text!r} is not /dev/HOST[:/dev/CONTAINER[:rwm]]")
    return {"PathOnHost": parts[0], "PathInContainer": parts[-1], "CgroupPermissions": permissions}


def throttle(text: str) -> dict[str, Any]:
    """``/dev/sda:1mb`` of --device-read-bps and its like."""
    path, separator, rate = text.rpartition(":")
    if not separator or not path.startswith("/"):
        raise ValueError(f"{text!r} is not /dev/DEVICE:RATE")
    return {"Path": path, "Rate": size(rate)}


def gpus(text: str) -> dict[str, Any]:
    """``all``, a number, or ``device=0,1`` and its like."""
    request: dict[str, Any] = {
        "Driver": "",
        "Count": 0,
        "DeviceIDs": None,
        "Capabilities": [["gpu"]],
        "Options": {},
    }
    plain = text.strip("\"'")
    # The quotes that keep its commas are lost between shells.
    items = [plain] if re.fullmatch(r"device=[^=\"]+", plain) else _fields(text)
    for item in items:
        name, separator, value = item.partition("=")
        if not separator:
            name, value = "count", item
        if name == "count":
            request["Count"] = -1 if value == "all" else integer(1, 10_000)(value)
        elif name == "device":
            request["DeviceIDs"] = value.split(",")
        elif name == "driver":
            request["Driver"] = value
        elif name == "capabilities":
            request["Capabilities"] = [list(dict.fromkeys(["gpu", *value.split(",")]))]
        else:
            raise ValueError(f"{text!r} is not all, a number or device=ID")
    if not request["Count"] and not request["DeviceIDs"]:
        request["Count"] = -1
    return request


def published(text: str) -> dict[str, list[dict[str, str]]]:
    """The engine's PortBindings of ``[ADDRESS:][HOST:]CONTAINER[/PROTOCOL]``; ranges are as long on both sides."""
    whole, separator, protocol = text.partition("/")
    protocol = protocol or "tcp"
    match = re.fullmatch(r"(?:(\[[0-9a-fA-F:.]+\]|[^:\[\]]*):)??(?:([\d-]*):)?([\d-]+)", whole)
    if not match or protocol not in PROTOCOLS or (separator and whole == text):
        raise ValueError(f"{text!r} is not [ADDRESS:][HOST:]CONTAINER[/PROTOCOL]")
    address, host, container = (match[1] or "").strip("[]"), match[2] or "", match[3]
    inner = port_range(container)
    outer = port_range(host) if host else None
    if outer and len(outer) != len(inner):
        raise ValueError(f"{text!r} has ranges of different lengths")
    return {
        f"{port}/{protocol}": [{"HostIp": address, "HostPort": str(outer[number]) if outer else ""}]
        for number, port in enumerate(inner)
    }


def exposed(text: str) -> dict[str, dict[str, str]]:
    """The engine's ExposedPorts of ``PORT[-PORT][/PROTOCOL]``."""
    ports, _, protocol = text.partition("/")
    if (protocol or "tcp") not in PROTOCOLS:
        raise ValueError(f"{text!r} is not PORT[/PROTOCOL]")
    return {f"{port}/{protocol or 'tcp'}": {} for port in port_range(ports)}


def port_range(text: str) -> range:
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"{text!r} is not a port from 1 to 65535")
    return range(first, last + 1)


def volume(text: str) -> tuple[str, str]:
    """The container's path and the engine's Binds entry of ``[SOURCE:]TARGET[:MODES]``; an anonymous volume has none."""
    parts = text.split(":")
    if len(parts) == 1:
        return absolute(text), ""
    if len(parts) > 3:
        raise ValueError(f"{text!r} is not SOURCE:TARGET[:MODES]")
    source, target, modes = (*parts, "")[:3]
    if not source.startswith("/") and not _VOLUME_NAME.fullmatch(source):
        raise ValueError(f"{source!r} is neither an absolute path nor a volume's name")
    unknown = [mode for mode in modes.split(",") if modes and mode not in _VOLUME_MODES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a mode of a volume like ro or z")
    return absolute(target), text


def absolute(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    return text.rstrip("/") or "/"


def tmpfs(text: str) -> tuple[str, str]:
    """The container's path and the options of ``/run[:size=64m,…]``."""
    path, _, options = text.partition(":")
    return absolute(path), options


def mount(text: str) -> tuple[str, dict[str, Any]]:
    """The container's path and the engine's Mount of ``type=bind,source=/a,target=/b,…``."""
    made: dict[str, Any] = {"Type": "volume"}
    for item in _fields(text):
        name, separator, value = item.partition("=")
        name = name.lower()
        where, key, read = _MOUNT_KEYS.get(name, ("", "", some))
        if not key:
            raise ValueError(f"{name!r} is not known in a mount")
        parsed = read(value if separator else "true") if read is boolean else read(value)
        inner = made.setdefault(where, {}) if where else made
        if isinstance(parsed, tuple):
            inner.setdefault(key, {})[parsed[0]] = parsed[1]
        else:
            inner[key] = parsed
    kind = made["Type"]
    driver = {
        key: made.get("VolumeOptions", {}).pop(key)
        for key in ("Name", "Options")
        if key in made.get("VolumeOptions", {})
    }
    if driver:
        made["VolumeOptions"]["DriverConfig"] = driver
    if kind not in ("bind", "volume", "tmpfs"):
        raise ValueError(f"a mount's type is bind, volume or tmpfs, not {kind!r}")
    if "Target" not in made:
        raise ValueError("a mount needs a target")
    if kind == "bind" and not made.get("Source", "").startswith("/"):
        raise ValueError("a bind mount needs an absolute source")
    if kind == "tmpfs" and "Source" in made:
        raise ValueError("a tmpfs mount has no source")
    for other in {"bind", "volume", "tmpfs"} - {kind}:
        if f"{other.capitalize()}Options" in made:
            raise ValueError(f"options of a {other} mount don't go with type {kind}")
    return made["Target"], made


def _octal(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{1,4}", text):
        raise ValueError(f"{text!r} is not a mode like 1777")
    return int(text, 8)


_MOUNT_KEYS: dict[str, tuple[str, str, Any]] = {
    "type": ("", "Type", some),
    **dict.fromkeys(("source", "src"), ("", "Source", some)),
    **dict.fromkeys(("target", "dst", "destination"), ("", "Target", absolute)),
    **dict.fromkeys(("readonly", "ro"), ("", "ReadOnly", boolean)),
    "consistency": ("", "Consistency", some),
    "bind-propagation": ("BindOptions", "Propagation", some),
    "bind-nonrecursive": ("BindOptions", "NonRecursive", boolean),
    "volume-nocopy": ("VolumeOptions", "NoCopy", boolean),
    "volume-label": ("VolumeOptions", "Labels", label),
    "volume-driver": ("VolumeOptions", "Name", some),
    "volume-opt": ("VolumeOptions", "Options", pair),
    "volume-subpath": ("VolumeOptions", "Subpath", some),
    "tmpfs-size": ("TmpfsOptions", "SizeBytes", size),
    "tmpfs-mode": ("TmpfsOptions", "Mode", _octal),
}


def network(text: str) -> tuple[str, dict[str, Any]]:
    """A network's name and the engine's EndpointSettings of ``NAME`` or ``name=NAME,alias=A,ip=1.2.3.4``."""
    if "=" not in text:
        return some(text), {}
    name, found = "", dict[str, Any]()
    for item in _fields(text):
        key, value = pair(item)
        if key == "name":
            name = value
        elif key == "alias":
            found.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            found.setdefault("IPAMConfig", {})["IPv4Address" if key == "ip" else "IPv6Address"] = value
        elif key == "driver-opt":
            found.setdefault("DriverOpts", {}).update([pair(value)])
        elif key == "mac-address":
            found["MacAddress"] = value
        else:
            raise ValueError(f"{key!r} is not known of a network")
    return some(name), found


def security(text: str) -> str:
    """An entry of SecurityOpt. A seccomp profile in a file is refused: nothing reads the host's files for an option."""
    name, separator, value = re.sub("^([a-z-]+):", r"\1=", text).partition("=")
    if name == "seccomp" and value not in ("unconfined", "builtin"):
        raise ValueError("of seccomp only unconfined and builtin are known here")
    if name not in ("seccomp", "apparmor", "label", "no-new-privileges", "systempaths"):
        raise ValueError(f"{name!r} is not known")
    return f"{name}={value}" if separator else name


def _fields(text: str) -> list[str]:
    """The parts between commas; double quotes keep commas."""
    fields = next(csv.reader([text]), [])
    if not fields or not all(fields):
        raise ValueError(f"{text!r} has an empty part")
    return fields
