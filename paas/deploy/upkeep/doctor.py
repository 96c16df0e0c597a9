"""doctor: is this machine fit to go on serving, and if not, which command mends it? Nothing is changed by looking.

What may hang (name servers, a listener that says nothing) gets a few seconds, however many there are of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator

from paas.console import size
from paas.deploy.session import Session
from paas.deploy.sources.space import disks
from paas.deploy.upkeep.doctor_apps import look_at_apps, look_at_images, look_at_operations
from paas.deploy.upkeep.doctor_names import look_at_names
from paas.errors import PaasError
from paas.gateway import handover
from paas.model.finding import Finding, ok, problem, warning
from paas.router import RouterFailed, RouterNotRunning
from paas.settings import Listen
from paas.store.keys import Keys, authorized_line

OLDEST_API = (1, 41)  # Docker 20.10
ANSWER_SECONDS = 2.0
INODES_LEAST_PERCENT = 3
EXPIRES_SOON_DAYS = 14
DAY_SECONDS = 24 * 3600
CLOCK_LEEWAY_SECONDS = 60.0
UNSYNCHRONIZED = 5  # what adjtimex answers, TIME_ERROR
TIMEX_BYTES = 256
START = "systemctl restart paas"
PRIVATE = ("paas.db", "secret.key", "ssh/host_ed25519", ".ssh/authorized_keys", ".ssh/id_ed25519")

Look = Callable[[Session], Iterator[Finding]]


def examine(session: Session) -> list[Finding]:
    """Everything that was found, in a fixed order. A look that itself fails is a problem like any other."""
    found: list[Finding] = []
    for name, look in LOOKS.items():
        try:
            found += look(session)
        except (PaasError, OSError) as error:
            found.append(problem(name, " ".join(str(error).split())))
    return found


def _engine(session: Session) -> Iterator[Finding]:
    try:
        version = session.api.version()
    except PaasError as error:
        yield problem("engine", str(error).partition(". Nothing")[0], "systemctl start docker")
        return
    api = tuple(int(part) for part in str(version["ApiVersion"]).split(".")[:2])
    text = f"Docker Engine {version['Version']} answers"
    if api < OLDEST_API:
        yield problem("engine", f"{text}; 20.10 or newer is needed", "apt-get install docker.io")
    else:
        yield ok("engine", text)


def _disk(session: Session) -> Iterator[Finding]:
    for disk in disks(session):
        text = f"{size(disk.free)} of {size(disk.total)} are free at {disk.path} ({disk.whose})"
        inodes = os.statvfs(disk.path)
        if not disk.enough:
            mend = "docker system df; paas cleanup"
            yield problem("disk", f"{text}, {size(disk.least)} have to be: deploys are refused", mend)
        elif inodes.f_files and inodes.f_favail * 100 < inodes.f_files * INODES_LEAST_PERCENT:
            yield problem("disk", f"{text}, but hardly any files can be made: {inodes.f_favail}", "df -i")
        else:
            yield ok("disk", text)


def _services(session: Session) -> Iterator[Finding]:
    settings = session.settings
    try:
        handover.connect(os.fsencode(settings.root)).close()
        yield ok("dispatcher", "It answers")
    except OSError as error:
        yield problem("dispatcher", f"Nobody answers on {settings.socket_path} ({_reason(error)})", START)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mail:
        try:
            mail.connect(str(settings.run_dir / "agent.sock"))
            yield ok("agent", "It listens")
        except OSError as error:
            text = f"It does not run ({_reason(error)}): nothing brings back what ends, no task is started"
            yield problem("agent", text, START)
    if settings.ssh_listen is not None:
        yield from _listening("ssh", settings.ssh_listen, b"SSH-")


def _router(session: Session) -> Iterator[Finding]:
    if session.router.missing:
        yield problem("router", session.router.missing, "apt-get install haproxy; systemctl restart paas")
        return
    with session.routing():
        try:
            missing = session.router.out_of_step(session.routes())
        except RouterNotRunning as error:
            yield problem("router", f"HAProxy does not run: {error}", "systemctl restart paas-router paas")
            return
        except RouterFailed as error:
            yield problem("router", str(error), "paas proxy:build-config --all")
            return
    if missing:
        yield problem(
            "router", f"HAProxy is not in step with the database ({missing} differences)", "paas proxy:build-config --all"
        )
    else:
        yield ok("router", "HAProxy does what the database says")
    yield from _listening("http", session.settings.http_listen)
    yield from _listening("https", session.settings.https_listen)


def _listening(check: str, listen: Listen, banner: bytes = b"") -> Iterator[Finding]:
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104
    try:
        with socket.create_connection((host, listen.port), ANSWER_SECONDS) as connection:
            said = connection.recv(len(banner)) if banner else b""
    except OSError as error:
        yield problem(check, f"Nobody answers on {listen} ({_reason(error)})", START)
        return
    if said != banner:
        yield problem(check, f"Something else answers on {listen}", f"ss -ltnp sport = :{listen.port}")
    else:
        yield ok(check, f"{listen} answers")


def _certificates(session: Session) -> Iterator[Finding]:
    now, names = time.time(), {app.id: app.name for app in session.apps.all()}
    stored = session.certificates.all()
    for item in stored:
        days = (item.expires_at - now) / DAY_SECONDS
        app, about = names.get(item.app_id, ""), ", ".join(item.names)
        mend = f"paas certs:renew {app}" if item.domain else f"paas certs:update {app} CRT KEY"
        if days < 0:
            yield problem("certificate", f"{app}'s for {about} expired {-days:.0f} days ago", mend)
        elif days < EXPIRES_SOON_DAYS:
            yield warning("certificate", f"{app}'s for {about} expires in {days:.0f} days", mend)
        elif item.starts_at > now:
            yield problem("certificate", f"{app}'s for {about} is not valid yet: is the clock right?", "timedatectl")
    if stored:
        yield ok("certificates", f"There are {len(stored)}")


def _clock(session: Session) -> Iterator[Finding]:
    newest = session.operations.recent(limit=1)
    if newest and newest[0].created_at > time.time() + CLOCK_LEEWAY_SECONDS:
        hours = (newest[0].created_at - time.time()) / 3600
        yield problem("clock", f"It is {hours:.1f} h behind the last operation's", "timedatectl set-ntp true")
        return
    with contextlib.suppress(OSError, AttributeError):
        # All zero: it only asks.
        if ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == UNSYNCHRONIZED:
            yield warning("clock", "Nobody keeps it right: the kernel says that it is not synchronized", "timedatectl set-ntp true")
            return
    yield ok("clock", "It is right, as far as one can tell")


def _files(session: Session) -> Iterator[Finding]:
    root = session.settings.root
    owner, mended = root.stat().st_uid, True
    for path, allowed in [(root, 0o711), *((root / name, 0o600) for name in PRIVATE)]:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o777 & ~(allowed | 0o700):
            mended = False
            yield problem("files", f"{path} is open to others (mode {mode:o})", f"chmod {allowed & 0o700 or 0o600:o} {path}")
        if found.st_uid != owner:
            mended = False
            yield problem("files", f"{path} belongs to another user than {root}", f"chown --reference={root} {path}")
    if mended:
        yield ok("files", f"What is secret in {root} is readable by its owner only")


def _keys(session: Session) -> Iterator[Finding]:
    keys = Keys(session.database).all()
    if not keys:
        yield warning("keys", "No ssh key may come in", "paas ssh-keys:add NAME FILE")
        return
    path = session.settings.root / ".ssh" / "authorized_keys"
    try:
        lines = set(path.read_text(errors="replace").splitlines(keepends=True))
    except FileNotFoundError:
        lines = set()
    lost = [key.name for key in keys if authorized_line(session.settings, key) not in lines]
    if lost or len(lines) != len(keys):
        which = f"without {', '.join(lost[:5])}" if lost else "with lines that are nobody's"
        yield problem("keys", f"{path} is not what the database says: {which}", "paas ssh-keys:sync")
    else:
        yield ok("keys", f"{len(keys)} may come in")


def _database(session: Session) -> Iterator[Finding]:
    answer = str(session.database.rows("PRAGMA quick_check(1)")[0][0])
    if answer == "ok":
        yield ok("database", "It is whole")
    else:
        mend = "paas backup:restore FILE in an empty PAAS_ROOT"
        yield problem("database", f"{session.settings.database_path} is damaged: {answer}", mend)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


LOOKS: dict[str, Look] = {
    "engine": _engine,
    "disk": _disk,
    "database": _database,
    "services": _services,
    "router": _router,
    "apps": look_at_apps,
    "images": look_at_images,
    "operations": look_at_operations,
    "certificates": _certificates,
    "names": look_at_names,
    "clock": _clock,
    "files": _files,
    "keys": _keys,
}
