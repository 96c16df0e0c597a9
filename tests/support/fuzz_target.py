"""A running paas to which anything may be sent: what it starts, reads, changes and says is looked at after each line.

It sees the machine's files read-only and no network, so that a fault in it breaks nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from paas.gateway import handover
from support.fuzz_words import CANARY, HOOK, Line
from support.knock import Answer, in_memory, knock, replied
from support.server import CHECKOUT, Paas, running_paas

RECORDER = Path(__file__).parent / "recorder"
LONGEST_MESSAGE = 400
# What may be chosen from is told whole.
OWN_LISTS = re.compile(r"valid (flags|properties)")
ANSWER_SECONDS = 20.0
LEAVE_SECONDS = 20.0
MEMORY_BYTES = 1 << 30
UNKNOWN_KEY = 999_999
ROLES = {"viewer": "view", "deployer": "deploy", "manager": "manage"}
CODES = {0, 1, 2, 20}
# git's own end, and of a client that went away.
GIT_CODES = CODES | {128, 129}
# Follow something until their client goes.
FOLLOWERS = {"events", "logs", "operation:follow", "run:logs"}
FOLLOW_SECONDS = 2.0
# Write where an administrator says.
WRITERS = ("storage:", "backup:create", "plugin:install")
# All mounts but the test's own become read-only, for the server and what it starts.
READ_ONLY = """
mount --make-rprivate /
mount --bind "$1" "$1"
awk '{print $5}' /proc/self/mountinfo | sort -r | while read -r place; do
    case $place in "$1" | /proc | /dev) continue ;; esac
    mount -o remount,bind,ro "$place" 2>/dev/null || umount -l "$place" 2>/dev/null || true
done
mount -o remount,bind,ro / && ip link set lo up && cd / && shift && exec "$@"
"""
# Python itself, libraries, and what they read anywhere.
UNINTERESTING = (
    "/dev/null", "/dev/urandom", "/etc/debian_version", "/etc/gai.conf", "/etc/gitconfig", "/etc/host.conf", "/etc/hosts", "/etc/lsb-release", "/etc/localtime", "/etc/mime.types",
    "/etc/nsswitch.conf", "/etc/os-release", "/etc/protocols", "/etc/resolv.conf", "/etc/services", "/etc/ssl", "/lib", "/proc", "/sys/fs/cgroup", "/usr",
)  # fmt: skip
_OUR_WORDS = {"--", "-"}
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@dataclass
class Target:
    """`faults` are what should not be, as ``kind: line: detail``."""

    paas: Paas
    record: Path
    faults: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda text: None
    _read: int = 0
    _errors: int = 0
    _log: int = 0

    def prepare(self) -> None:
        """Make apps and keys as they are meant to be, whatever was done to them."""
        for words in ("apps:create web", "apps:create api", "trace:off", "app:set --global disable-autocreation"):
            self.send(Line("host", "", words.encode().split()))
        for number, name in enumerate(("admin", *ROLES, "nobody")):
            self.send(Line("host", "", [b"ssh-keys:remove", name.encode()]))
            role = [b"--role", f"{ROLES[name]}:web".encode()] if name in ROLES else []
            self.send(Line("host", "", [b"ssh-keys:add", *role, name.encode()], _public_key(number)))
        self.send(Line("host", "", [b"access:revoke", b"nobody"]))
        with contextlib.closing(sqlite3.connect(f"file:{self.paas.root}/paas.db?mode=ro", uri=True)) as database:
            self.ids = dict(database.execute("SELECT name, id FROM ssh_keys"))
        self.recorded()

    def send(self, line: Line) -> Answer:
        """Hand a line to the dispatcher as its front door does, and wait for the end."""
        key = self.ids.get(line.key, UNKNOWN_KEY) if line.key else None
        environment = dict(line.environment)
        if line.door == "ssh":
            environment = {name: value for name, value in environment.items() if name not in HOOK}
        seconds = FOLLOW_SECONDS if line.name in FOLLOWERS else ANSWER_SECONDS
        answer = knock(self.paas.root, line.words, line.door, key, line.input, environment, seconds)
        if answer.code is None:
            self._wait_until_gone(answer.mark)
        return answer

    def _wait_until_gone(self, name: str) -> None:
        """A command whose client has gone must end. Its standard output is the file `name`."""
        deadline = time.monotonic() + LEAVE_SECONDS
        while holders := _holders(name):
            if time.monotonic() > deadline:
                self._add(f"does not end: processes {holders}")
                for pid in holders:
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.1)

    def check(self, line: Line) -> Answer:
        """Send a line and look at everything that it did."""
        answer = self.send(line)
        texts = line.texts
        name = line.name
        self.codes[str(answer.code)] += 1
        self.slowest = sorted([*self.slowest, (answer.seconds, shown(line))], reverse=True)[:5]
        if answer.code is None and name not in FOLLOWERS:
            self._fault("hangs", line, answer.text)
        elif answer.code not in (GIT_CODES if "git" in name else CODES) and answer.code is not None:
            self._fault("exit code", line, f"{answer.code} {answer.text}")
        self._look_at_words(line, answer)
        self._look_at_errors(line)
        for _, event, words in self.recorded():
            self._look_at_event(line, texts, event, words)
        return answer

    def _look_at_words(self, line: Line, answer: Answer) -> None:
        if "Traceback (most recent" in answer.text or "Internal error" in answer.text:
            self._fault("traceback", line, answer.text[-300:])
        for said in answer.err.decode("utf-8", "replace").split("\n"):
            if len(said) > LONGEST_MESSAGE and not OWN_LISTS.search(said):
                self._fault("long message", line, f"{len(said)} characters: {said[:200]}")
            if _CONTROLS.search(said):
                self._fault("control characters", line, repr(said[:300]))
            self.messages[template(said)] += bool(said)

    def _look_at_errors(self, line: Line) -> None:
        errors = self.paas.root / "log" / "errors.log"
        size = errors.stat().st_size if errors.exists() else 0
        if size > self._errors:
            self._fault("recorded error", line, errors.read_bytes()[self._errors :].decode(errors="replace")[-1500:])
        self._errors = size

    def _look_at_event(self, line: Line, texts: list[str], event: str, words: list[str]) -> None:
        given = {text for text in texts if len(text) > 1}
        if event == "starts":
            options = {word for word in words[1:] if word.startswith("-")}
            if (options & given) - _OUR_WORDS or any(CANARY in word for word in words if not word.startswith("http")):
                self._fault("started with", line, repr(words))
            if words[0] in given or words[1] in given - {"git", "docker", "ssh", "sh"}:
                self._fault("started", line, repr(words))
            return
        administrator = line.door == "host" or line.key == "admin"
        # A hook's environment names git's own folders.
        if (not administrator and line.door != "hook") or (event == "changes" and not line.name.startswith(WRITERS)):
            self._fault(event, line, repr(words))

    def recorded(self) -> list[tuple[int, str, list[str]]]:
        """What was written down since last asked."""
        if not self.record.exists() or self.record.stat().st_size <= self._read:
            return []
        with self.record.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        return [(pid, event, words) for pid, event, words in map(json.loads, data.splitlines())]

    def look_at_log(self) -> None:
        """What `paas serve` itself said; and nothing that was meant for a shell has come to be."""
        text = self.paas.log.read_bytes()[self._log :].decode(errors="replace")
        self._log += len(text.encode())
        if "Traceback" in text:
            self._add(f"log: {text[-1500:]}")
        for path in self.paas.root.parent.rglob(f"*{CANARY}*"):
            self._add(f"canary: {path}")
        answer = self.send(Line("host", "", [b"apps:list"]))
        if answer.code != 0:
            self._add(f"apps:list afterwards: {answer}")

    def garbage(self, data: bytes, count: int, odd: bool) -> None:
        """Send what is no request. It is answered or hung up on; half of one the client ends itself."""
        with in_memory(b"") as files, socket.socket(socket.AF_UNIX) as connection:
            folder = os.open("/", os.O_RDONLY)
            mixed = [folder, connection.fileno(), *files[::-1]] if odd else files
            handover.with_socket_path(os.fsencode(self.paas.root / "run"), connection.connect)
            connection.settimeout(ANSWER_SECONDS)
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    handover.send(connection, data, [mixed[number % len(mixed)] for number in range(count)])  # type: ignore[arg-type]
                    connection.shutdown(socket.SHUT_WR)
                code, _ = replied(connection)
                self.codes[f"garbage {code}"] += 1
                if code is None:
                    self._add(f"hangs: garbage {data[:200]!r} with {count} descriptors")
            finally:
                os.close(folder)
        self._look_at_errors(Line("garbage", "", [data[:300]]))

    def _add(self, fault: str) -> None:
        self.faults.append(fault)
        self.tell(fault)

    def _fault(self, kind: str, line: Line, detail: str) -> None:
        self._add(f"{kind}: {shown(line)}: {detail}")


def shown(line: Line) -> str:
    """A line for a report."""
    words = b" ".join(line.words)
    more = f"… {len(words)} bytes" if len(words) > 300 else ""
    return f"{line.door}/{line.key} {words[:300]!r}{more} {dict(line.environment) or ''}"


def template(text: str) -> str:
    """A message without what is different each time."""
    return re.sub(r"[0-9]+", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "…", text))[:70]


@contextlib.contextmanager
def fuzz_target() -> Iterator[Target]:
    """A server without an engine, its apps and keys."""
    base = Path(tempfile.mkdtemp(prefix="paas-fuzz-", dir="/tmp"))
    record = base / "record"
    (base / "tmp").mkdir()
    within = ["prlimit", f"--data={MEMORY_BYTES}:", "unshare", "--mount", "--net", "sh", "-c", READ_ONLY, "sh", str(base)]
    skipped = [str(base), str(CHECKOUT), os.path.realpath(sys.prefix), *UNINTERESTING]
    environment = {
        "PYTHONPATH": f"{CHECKOUT}:{RECORDER}",
        "PAAS_RECORD": str(record),
        "PAAS_RECORD_SKIP": ":".join(skipped),
        "DOCKER_HOST": f"unix://{base}/none.sock",
        "TMPDIR": str(base / "tmp"),
        "HOME": str(base),
    }
    try:
        with running_paas(within=within, base=base, **environment) as paas:
            target = Target(paas, record)
            target.prepare()
            yield target
            target.look_at_log()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _holders(name: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/fd/1"):
        with contextlib.suppress(OSError):
            if str(entry.readlink()) == name and int(entry.parts[2]) != os.getpid():
                found.append(int(entry.parts[2]))
    return found


def _public_key(number: int) -> bytes:
    parts = (b"ssh-ed25519", bytes([number + 1]) * 32)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return b"ssh-ed25519 " + base64.b64encode(blob) + b"\n"
