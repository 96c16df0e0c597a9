"""Command lines as nobody would type them, made from the registry of commands: real names, flags and values, and what an
attacker or an accident would put in their place. The same Random gives the same lines."""

from __future__ import annotations

import functools
import random
import shlex
from dataclasses import dataclass
from typing import Any

from paas import cli
from paas.model.words import split

KEYS = (*["admin"] * 6, *["viewer"] * 3, *["deployer"] * 3, *["manager"] * 5, "nobody", "nobody", "unknown")
APPS = (*["web"] * 9, *["api"] * 3, "missing", "")
MEGABYTE = 1 << 20
# What would appear if something were given to a shell or followed as an option.
CANARY = "PAAS_FUZZ_CANARY"  # no name of an app

VALUES = {
    "APP": APPS,
    "KEY": ("DEBUG", "DEBUG=1", "A=", "deploy-branch", "main", "wait", "web", "restart-policy", "viewer", "admin"),
    "ROLE": ("view", "deploy", "manage", "admin"),
    "DOMAIN": ("example.com", "*.example.com", "a.b.c", "localhost", "xn--bcher-kva.example"),
    "IMAGE": ("127.0.0.1:1/team/app:1", "nginx", "nginx:1.27", f"app@sha256:{'a' * 64}", "scratch"),
    "SCHEME": ("http:80:5000", "https:443:5000", "tcp:99:99", "udp:53:53", "80", "http:80"),
    "URL": ("https://127.0.0.1:1/a.tar", "http://localhost/x.tar.gz", "ssh://git@127.0.0.1:1/x", "git@h:x", "file:///etc"),
    "TYPE": ("web", "worker", "web=2", "web.1", "web=0", "worker=1"),
    "HOST": ("127.0.0.1", "example.com:8443", "[::1]", "/srv/data:/data", "name:/data:ro"),
    "ID": ("1", "#1", "99999999", "-1", "0"),
    "NAME": ("viewer", "data", "main", "git", "my-plugin"),
    "FORMAT": ("json", "stdout", "envfile", "exports"),
    "PHASE": ("deploy", "build", "run", "build,deploy"),
    "N": ("1", "0", "-1", "10", "1e3", "999999999999999999999", "٣"),
    "PATH": ("web", "web.git", "/web", "env/web.git", "'web'"),
    "SERVER": ("127.0.0.1:1", "registry.example"),
}
COMMANDS_INSIDE = ("true", "echo", "sh", "-c", "id")
HOSTILE = (
    f"$(touch {CANARY})", f"`touch {CANARY}`", f";touch {CANARY};", f"|touch {CANARY}", f"&& touch {CANARY}", f"\n touch {CANARY}\n",
    f"--upload-pack=touch {CANARY}", f"-oProxyCommand=touch {CANARY}", f"--exec=touch {CANARY}", f"--output={CANARY}",
    f"-c core.sshCommand=touch {CANARY}", f"ext::sh -c touch% {CANARY}", f"-F{CANARY}", f"--template={CANARY}", "--git-dir=/tmp",
    "-", "--", "---", "-h", "--help", "-v", "--version", "-rf", "--config=/etc/passwd", "-o", "--no-such", "--=", "-=", "--app", "--app=", "--force",
    "--quiet", "--trace", "--no-wait", "--environment", "--env", "--all", "--global", "--format", "--format=", "--num=x",
    "../../etc/passwd", "/etc/passwd", "//etc", "..", ".", "/", "~root", "~/.ssh/id_rsa", "/proc/self/environ", "/dev/full", "/dev/zero", "web/../../x",
    "web.git/hooks", ".git", "web.git.git", "git@host", "a:b", "file:///etc/passwd", "http://[::1", "http://[v1.x]/", "https://u:p@127.0.0.1:1/", "//", "http://127.0.0.1:99999/",
    "", " ", "\t", "\0", "a\0b", "\n", "\r\n", "\x1b[2J\x1b]0;x\a", "\x7f", "\u202etxt.exe", "w\u0435b", "web\u200b", "\ufeff", "\uff57\uff45\uff42", "é", "İ", "ß" * 70,
    "\ud800", "\udcff\udcfe", "😀", "%s%n%x", "%(x)s", "{0}", "{app}", "{", "}", "{}", "\\", "'", '"', "'\"'", "$HOME", "*", "?", "[a-z]", "!", "#", "&", ";", "\\x00",
    "9" * 30, "-9" * 3, "1e309", "NaN", "0x10", "-0", "1_000", "١٢", "true", "null", "None", "[]", "[" * 300, '{"a":' * 300, "a=b=c", "=", "=x", "A=\0", "A=\x1b[1m",
    "A=" + "b" * 5000, "a" * 300, "a" * 5000, "a." * 3000, "." * 400, "-" * 300, "/" * 400, "a/" * 2500, ",".join("ab" * 2000), ":" * 500, "@" * 300,
    "1.2.3.4.5", "web,worker,,", "2024-13-45", "* * * * *", "0 0 31 2 *", "@every 1s", "CN=x\n", "SELECT 1;--", "' OR '1'='1", "<script>", "\N{COMBINING ACUTE ACCENT}" * 50,
)  # fmt: skip
GIT_NAMES = ("git-upload-pack", "git-receive-pack", "git-upload-archive", "git upload-pack", "git-lfs-authenticate", "git-lfs-transfer", "git-hook", "git", "/usr/bin/git-upload-pack")
OTHERS = ("scp -t /tmp", "sftp", "rsync --server . /", "sh", "bash -i", "cat /etc/passwd", "env", "exit", "internal-sftp", "docker ps", "k3s:x", "lambda:set web", "nginx:set web x y", "help --all", "serve", "--connection 3")
INPUTS = (b"", b"", b"web\n", b"y\n", b"0000", b"0032git-upload-pack /x\0host=y\0", b"ffff", b"\0" * 100, b"\xff\xfe" * 50, b"A=1\nB='", b"{" * 500,
          b"ssh-ed25519 AAAA x\n", b"ssh-rsa " + b"A" * 9000, b"x" * 70_000, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x1f\x8b\x08\0\0", b"PK\x03\x04",
          b"0" * 40 + b" " + b"1" * 40 + b" refs/heads/main\n", b"no three words\n")  # fmt: skip
TERMINAL = {b"TERM": (b"xterm", b"dumb", b"\xff", b"a" * 900, b"../../x"), b"COLUMNS": (b"80", b"0", b"-1", b"99999999999", b"x"),
            b"LINES": (b"24", b"-5", b"1e9"), b"GIT_PROTOCOL": (b"version=2", b"version=9", b":" * 190, b"\xff")}  # fmt: skip
HOOK = {b"PAAS_CALLER": (b"me", b"\xff\0", b""), b"PAAS_DESCRIPTORS": (b"3", b"x"),
        b"GIT_QUARANTINE_PATH": (b"/nonexistent", b"\xff"), b"GIT_OBJECT_DIRECTORY": (b"/nonexistent",), b"GIT_ALTERNATE_OBJECT_DIRECTORIES": (b":" * 50,),
        b"GIT_PUSH_OPTION_0": (b"no-wait", b"\xff"), b"GIT_PUSH_OPTION_COUNT": (b"1", b"x")}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One command as a front door would hand it over. For door ssh `words` is one line, not yet split."""

    door: str
    key: str
    words: list[bytes]
    input: bytes = b""
    environment: tuple[tuple[bytes, bytes], ...] = ()

    @functools.cached_property
    def name(self) -> str:
        """The command's name, as far as it has one."""
        found = list(self.texts)
        while found and found[0].startswith("-"):
            found = found[2 if found[0] in ("--app", "--environment") else 1 :]
        return found[0] if found else ""

    @functools.cached_property
    def texts(self) -> list[str]:
        """The words as an attacker means them, for looking them up in what was started."""
        line = b" ".join(self.words).decode("utf-8", "surrogateescape")
        if self.door != "ssh":
            return [word.decode("utf-8", "surrogateescape") for word in self.words]
        try:
            return split(line)
        except ValueError:
            return line.split()


@functools.cache
def names() -> tuple[str, ...]:
    """All commands, the groups, and names that Dokku has and we don't."""
    cli.refresh(None)
    return (*sorted(cli.commands()), *sorted(cli.groups()))


class Lines:
    """A source of command lines."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def line(self) -> Line:
        """The next one."""
        pick = self.chance.random()
        door = "ssh" if pick < 0.85 else "host" if pick < 0.96 else "hook"
        words = self.words()
        key = self.chance.choice(KEYS) if door != "host" else ""
        if self.chance.random() < 0.004:
            words.append(self.chance.choice("aé'\"\\ $\n-=") * MEGABYTE)
        elif self.chance.random() < 0.01:
            word = self.chance.choice((*HOSTILE, "a"))
            words += [word] * min(self.chance.randrange(100, 4000), MEGABYTE // (len(word) + 1))
        return Line(door, key, self.sent(door, words), self.chance.choice(INPUTS), self.environment(door))

    def words(self) -> list[str]:
        """A command's name and arguments: right, nearly right, or nothing of the kind."""
        pick = self.chance.random()
        if pick < 0.12:
            return [self.chance.choice(GIT_NAMES), *(self.value("PATH") for _ in range(self.chance.choice((1, 1, 1, 2, 3))))]
        if pick < 0.17:
            return [*shlex.split(self.chance.choice(OTHERS)), *self.some(0, 2)]
        if pick < 0.22:
            return self.some(0, 5)
        name = self.chance.choice(names())
        words = [*self.before(), self.mutated(name) if self.chance.random() < 0.05 else name]
        if name in cli.commands():
            words += self.arguments(cli.parser(name).params)
        if self.chance.random() < 0.3:
            words.insert(self.chance.randrange(len(words) + 1), self.chance.choice(HOSTILE))
        return words

    def before(self) -> list[str]:
        flags = ("--quiet", "--trace", "--force", "--no-wait", "--app web", "--label=a=b", "--app", "--environment x")
        return self.chance.choice(flags).split() if self.chance.random() < 0.06 else []

    def arguments(self, parameters: list[Any]) -> list[str]:
        """Values for what a command's parser takes, options anywhere among them."""
        found: list[str] = []
        for item in parameters:
            if item.param_type_name == "argument":
                kinds = (item.metavar or item.name).replace("…", "").replace("[", " ").replace("]", " ").split()
                found += [self.value(kind) for kind in kinds if self.chance.random() < 0.93]
                if item.nargs == -1 and self.chance.random() < 0.2:
                    found += self.some(1, 3)
            elif self.chance.random() < 0.25:
                flag = self.chance.choice(item.opts)
                value = self.value((item.metavar or item.name).upper())
                words = [flag] if item.is_flag else [f"{flag}={value}"] if self.chance.random() < 0.5 else [flag, value]
                where = self.chance.randrange(len(found) + 1)
                found[where:where] = words
        return found

    def value(self, kind: str) -> str:
        """One for a metavar such as APP, ``APP|--all`` or ``KEY=VALUE``."""
        if self.chance.random() < 0.22:
            return self.mutated(self.chance.choice(HOSTILE)) if self.chance.random() < 0.3 else self.chance.choice(HOSTILE)
        kind = self.chance.choice(kind.split("|"))
        for name, values in VALUES.items():
            if kind.startswith(name):
                value = self.chance.choice(values)
                return self.mutated(value) if self.chance.random() < 0.08 else value
        return kind if kind.startswith("-") or self.chance.random() < 0.3 else self.chance.choice((*COMMANDS_INSIDE, "1", "web", "x"))

    def some(self, least: int, most: int) -> list[str]:
        return [self.chance.choice(HOSTILE) for _ in range(self.chance.randint(least, most))]

    def mutated(self, text: str) -> str:
        """One to three characters added, doubled, dropped or replaced."""
        letters = list(text)
        for _ in range(self.chance.randint(1, 3)):
            where = self.chance.randrange(len(letters) + 1)
            new = self.chance.choice("\0\n'\"\\ $`;&|<>-=:/.@~#%{}\x1b\u202e\u0430é\udcff😀0aZ")
            match self.chance.randrange(3):
                case 0:
                    letters.insert(where, new)
                case 1:
                    letters[where : where + 1] = []
                case _:
                    letters[where : where + 1] = [new]
        return "".join(letters)

    def sent(self, door: str, words: list[str]) -> list[bytes]:
        """As the front door sends it: over ssh one line, quoted well, badly or not at all."""
        if door == "hook":
            words = ["git-hook", *words[1:2]] if self.chance.random() < 0.7 else words
        if door != "ssh":
            return [word.encode("utf-8", "surrogatepass") for word in words]
        pick = self.chance.random()
        line = shlex.join(words) if pick < 0.75 else " ".join(words)
        if pick > 0.93:
            line = self.mutated(line)
        data = line.encode("utf-8", "surrogatepass")
        if self.chance.random() < 0.03 and data:
            where = self.chance.randrange(len(data))
            data = data[:where] + bytes([self.chance.randrange(256)]) + data[where + 1 :]
        return [data]

    def environment(self, door: str) -> tuple[tuple[bytes, bytes], ...]:
        choices = {**TERMINAL, **(HOOK if door == "hook" else {})}
        some = [name for name in choices if self.chance.random() < (0.4 if door == "hook" else 0.03)]
        return tuple((name, self.chance.choice(choices[name])) for name in some)

    def garbage(self) -> tuple[bytes, int, bool]:
        """What is no request: bytes for the dispatcher's socket, how many descriptors come with them, whether odd ones."""
        whole = self.line()
        fields = [whole.door.encode(), b"1", b"/", b"0", *whole.words]
        body = b"".join(b"%d:%b" % (len(field), field) for field in fields)[: 1 << 16]
        pick = self.chance.randrange(8)
        if pick == 0:
            body = self.chance.randbytes(self.chance.randrange(200))
        elif pick == 1:
            body = body[: self.chance.randrange(len(body) + 1)]
        elif pick == 2:
            where = self.chance.randrange(len(body))
            body = body[:where] + self.chance.randbytes(3) + body[where + 3 :]
        elif pick == 3:
            body = self.chance.choice((b"9" * 5000 + b":", b"-5:hello", b"4:host0:1:/1:9", b"4:host1:x1:/1:0", b"4:none0:1:/1:0", b"3:ssh99:" + b"9" * 99, b":" * 99, "٣:abc".encode()))
        length = len(body) if self.chance.random() < 0.7 else self.chance.choice((0, 1, len(body) + 1, 4 << 20, (4 << 20) + 1, 0xFFFFFFFF))
        sent = length.to_bytes(4, "big") + body
        if self.chance.random() < 0.1:
            sent = sent[: self.chance.randrange(1, 5)]
        return sent, self.chance.choice((0, 1, 2, 3, 3, 3, 3, 4, 16, 17, 40)), self.chance.random() < 0.4
