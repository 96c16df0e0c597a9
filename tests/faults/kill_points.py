"""kill -9 at every named step of a change, for each way in: `python -P -m faults.kill_points [WAY…]` in tests/, as root.

Prints a table of point, way in, who was killed, and which release served then; ends with 1 where something did not hold:
requests fail, the same command does not work again, or anything is left behind.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
from support import doors, images
from support.archives import tar_of
from support.clients import Client, until
from support.doors import Door
from support.repo import Repo
from support.server import Paas, Response, running_paas
from support.visitor import Visitor

LAUNCHER = Path(__file__).resolve().parents[1] / "support" / "kill_server.py"
APP = "killed"
PREFIX = "paas-test-kill"
ASKED = 6
# Of a machine that does much else beside it.
COMMAND_SECONDS, SETTLE_SECONDS = 200.0, 60.0
OBJECT = re.compile(r"/objects/([0-9a-f]{2}(/[0-9a-f]{38})?|pack/pack-.*)$")
ITSELF, ABOVE, ALL = "itself", "above", "all"

PROCFILE = """\
web: echo "$VERSION $N $(hostname)" >/www/index.html; exec httpd -f -p $PORT -h /www
worker: sleep 100000
release: sleep 0.3
"""
BASE = "FROM paas-test/shell\nSTOPSIGNAL SIGKILL\n"
PUSHED = "FROM {base}\nCOPY version /version\nENV VERSION={version}\nRUN sleep 0.5\n"


@dataclass(frozen=True)
class Point:
    """A moment of a change: `at` as support/kill_server.py reads it. `hook`: it lies in the hook's command where the way
    in has one."""

    name: str
    at: str
    hook: bool = True


LOCK = Point("lock taken", "leave lock", hook=False)
LOADED = Point("image loaded", "leave load", hook=False)
RECEIVED = Point("archive read", "leave receive", hook=False)
WRITTEN = Point("commit written", "leave commit", hook=False)
HANDED = Point("handed to git", "enter push", hook=False)
BUILDING = Point("build running", "during builder")
BUILT = Point("image built", "leave build")
MANIFEST = Point("manifest read", "leave manifest")
RELEASED = Point("release row written", "leave release")
PHASE = Point("release phase running", "during phase")
CREATED = Point("container created", "leave create/web.1")
STARTED = [Point(f"{name} started", f"leave run/{name}") for name in ("web.1", "web.2", "worker.1")]
HEALTHY = Point("health passed", "leave health/web.1")
STOPPED = Point("old worker stopped", "leave stop")
SWITCHED = Point("router switched", "leave switch")
COMMITTED = Point("transaction committed", "leave transaction")
SETTLED = Point("router's mark set", "leave settle")
AFTER = Point("agent told", "leave after")
REF = Point("ref accepted", "leave ref")
PUSHED_REF = Point(REF.name, "leave push", hook=False)
RETIRED = Point("old container stopped", "leave retire", hook=False)

SCALED = [Point("web.3 started", "leave run/web.3"), Point("health passed", "leave health/web.3")]
ROLLOUT = [CREATED, *STARTED, HEALTHY, STOPPED, SWITCHED, COMMITTED, SETTLED, AFTER, RETIRED]
DONE = (COMMITTED, SETTLED, AFTER, REF, PUSHED_REF)
DEPLOY = [BUILT, MANIFEST, RELEASED, PHASE, *ROLLOUT]


@dataclass
class Site:
    """A running server with one app, whose changes alternate between what is there once and twice."""

    paas: Paas
    door: Door
    engine: docker.DockerClient
    kill: Path
    repo: Repo
    turn: int = 0
    archive: bytes = b""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        return f"{PREFIX}/v{self.turn % 2}"

    def words(self, *words: str, stdin: bytes = b"") -> Client:
        """`ssh host WORDS`, begun."""
        return self._begin(self.door.ssh_command(*words), stdin)

    def pushed(self, *words: str) -> Client:
        """`git push`, begun."""
        return self._begin(["git", "-C", str(self.repo.path), "push", "--quiet", self.door.remote(APP), *words], b"")

    def _begin(self, command: list[str], stdin: bytes) -> Client:
        with (self.paas.root.parent / "input").open("w+b") as file:
            file.write(stdin)
            file.seek(0)
            return Client(command, self.door.git_env(), None, file)

    def files(self) -> dict[str, str]:
        """The next version of the app's files."""
        version = f"p{self.turn}"
        return {
            "Dockerfile": PUSHED.format(base=f"{PREFIX}/v0", version=version),
            "version": version,
            "Procfile": PROCFILE,
        }


def _archive(site: Site) -> Client:
    return site.words("git:from-archive", APP, "--", stdin=tar_of(site.files()))


def _push(site: Site) -> Client:
    site.repo.write(site.files())
    site.repo.commit(f"turn {site.turn}")
    return site.pushed("--force", "main:master")


def _load(site: Site) -> Client:
    saved = subprocess.run(["docker", "image", "save", site.image], capture_output=True, check=True).stdout
    return site.words("git:load-image", APP, site.image, stdin=saved)


@dataclass(frozen=True)
class Way:
    """How a change comes in: what is sent, and the points on its way. `hooked`: through a hook. `commits`: what it deploys is
    the deploy branch's newest commit then."""

    name: str
    send: Callable[[Site], Client]
    points: list[Point]
    hooked: bool = False
    commits: bool = False
    victims: tuple[str, ...] = (ITSELF, ABOVE, ALL)
    prepare: Callable[[Site], object] | None = None


WAYS = [
    Way(
        "git:from-image",
        lambda site: site.words("git:from-image", APP, site.image),
        [LOCK, WRITTEN, *DEPLOY, REF],
        commits=True,
    ),
    Way("git:load-image", _load, [LOCK, LOADED, WRITTEN, *DEPLOY, REF], commits=True),
    Way("git push", _push, [Point(LOCK.name, LOCK.at), HANDED, BUILDING, *DEPLOY, PUSHED_REF], hooked=True, commits=True),
    Way(
        "git:from-archive",
        _archive,
        [LOCK, RECEIVED, WRITTEN, BUILDING, *DEPLOY, REF],
        commits=True,
    ),
    Way(
        "deploy",
        lambda site: site.words("deploy", "--app", APP, "--docker-image", site.image, f"N={site.turn}"),
        [LOCK, *DEPLOY],
    ),
    Way(
        "config:set",
        lambda site: site.words("config:set", APP, f"N={site.turn}"),
        [LOCK, RELEASED, *ROLLOUT],
    ),
    Way(
        "ps:scale",
        lambda site: site.words("ps:scale", APP, "web=3", "worker=1"),
        [LOCK, *SCALED, SWITCHED, COMMITTED, SETTLED, AFTER, RETIRED],
        prepare=lambda site: site.paas.command("ps:scale", APP, "web=2", "worker=2").ok(),
    ),
    Way("releases:rollback", lambda site: site.words("releases:rollback", APP), [LOCK, RELEASED, *ROLLOUT]),
    Way("ps:restart", lambda site: site.words("ps:restart", APP), [LOCK, *ROLLOUT]),
]


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    way: Way
    point: Point
    victims: str

    def __str__(self) -> str:
        return f"{self.way.name} | {self.point.name} | {self.victims}"


def cases(way: Way) -> list[Case]:
    """Everything that can be killed on one way in. Where there is no hook, one process does all of it."""
    found = []
    for point in way.points:
        possible = [ITSELF] if not way.hooked or point is RETIRED else [ITSELF, ABOVE, ALL] if point.hook else [ITSELF, ALL]
        found += [Case(way, point, item) for item in possible if point is RETIRED or item in way.victims]
    return found


class NotHeld(AssertionError):
    """What has to be true after a kill is not."""


def perform(site: Site, case: Case) -> str:
    """Kill, look, send the same again, look. Which release served in between. Raises NotHeld."""
    site.turn += 1
    if case.way.prepare:
        case.way.prepare(site)
        settle(site, case.way, files(site))
    before_files = files(site)
    last = newest(site)
    with Visitor(site.paas, APP) as visitor:
        site.kill.write_text(f"{case.point.at} {case.victims}")
        client = case.way.send(site)
        try:
            over = lambda: client.process.poll() is not None and case.point is not RETIRED  # noqa: E731
            until(lambda: not site.kill.exists() or over(), lambda: client.text)
            check(not site.kill.exists(), f"the command ended without coming there:\n{client.text}")
            ended(client)
            said = client.text
        finally:
            client.close()
        killed = newest(site)
        serves = serving(site, killed if killed > last else 0)
        if case.victims == ALL:
            # Whatever comes next puts it in order, not only the same once more.
            site.paas.command("config:set", "--no-restart", APP, f"OTHER={site.turn}").ok()
            settle(site, case.way, before_files)
        again = case.way.send(site)
        try:
            check(ended(again) == 0, f"the same command again failed:\n{again.text}\n--- first:\n{said}")
        finally:
            again.close()
        settle(site, case.way, before_files)
    if killed > last and case.victims != ABOVE and case.point is not RETIRED:
        [status] = rows(site, "SELECT status FROM operations WHERE id = ?", killed)
        wanted = "succeeded" if case.point in DONE else "failed"
        check(status[0] == wanted, f"operation #{killed} is called {status[0]}, it {wanted}")
    check(not visitor.failures, f"of {visitor.asked} requests failed: {visitor.failures[:5]} ({len(visitor.failures)})")
    return serves


def ended(client: Client) -> int:
    """Its exit code, once it has ended."""
    try:
        return client.process.wait(COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotHeld(f"it does not end:\n{client.text}") from None


def check(holds: bool, text: str) -> None:
    if not holds:
        raise NotHeld(text)


def rows(site: Site, sql: str, *values: object) -> list[sqlite3.Row]:
    """What the database says."""
    with contextlib.closing(sqlite3.connect(site.paas.root / "paas.db", timeout=10)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(sql, values).fetchall()


def newest(site: Site) -> int:
    """The number of the last operation."""
    return int(rows(site, "SELECT max(id) FROM operations")[0][0])


def serving(site: Site, operation: int) -> str:
    """Which containers answer after the death of an operation (0: none was recorded yet): those of before, or its own."""
    recorded = {row["container_id"][:12] for row in rows(site, "SELECT container_id FROM processes")}
    committed = bool(rows(site, "SELECT 1 FROM operations WHERE id = ? AND committed = 1", operation))
    answering = set()
    for _ in range(ASKED):
        answer: Response = site.paas.http_get(APP)
        check(answer.status == 200, f"the app answers {answer.status}")
        answering.add(answer.body.split()[-1])
    if answering <= recorded:
        return "new" if committed else "old"
    return "new, until the next command"


def settle(site: Site, way: Way, before_files: set[str]) -> None:
    """Wait until all of it agrees. Raises NotHeld with what does not."""
    end = time.monotonic() + SETTLE_SECONDS
    while wrong := list(disagreements(site, way, before_files)) or list(doctor(site)):
        check(time.monotonic() < end, "; ".join(wrong))
        time.sleep(0.1)


def disagreements(site: Site, way: Way, before_files: set[str]) -> Iterator[str]:
    """What database, engine, router, repository and files do not agree on."""
    paas, api = site.paas, site.engine.api
    opened = rows(site, "SELECT id, kind, status FROM operations WHERE status IN ('queued', 'running')")
    if opened:
        yield f"open operations: {[tuple(row) for row in opened]}"
    known = {row["container_id"] for row in rows(site, "SELECT container_id FROM processes")}
    there = {item["Id"]: item for item in api.containers(all=True, filters={"label": f"paas.root={paas.root}"})}
    if known != there.keys():
        yield f"processes {sorted(known - there.keys())} lack a container, {[there[item]['Names'] for item in there.keys() - known]} are nobody's"
    if any(item["State"] != "running" for item in there.values()):
        yield "not all run"
    pending = rows(site, "SELECT number FROM releases WHERE status = 'pending'")
    if pending:
        yield f"pending releases: {[row[0] for row in pending]}"
    wanted = {row[0] for row in rows(site, "SELECT image_tag FROM releases WHERE status = 'succeeded'")}
    tags = {tag for image in api.images() for tag in image["RepoTags"] or () if f"/{APP}:" in tag and tag.split("/")[0] == next(iter(wanted)).split("/")[0]}
    if tags != wanted:
        yield f"images {sorted(wanted - tags)} are missing, {sorted(tags - wanted)} are nobody's"
    left = files(site) - before_files
    if left:
        yield f"files left: {sorted(left)[:10]}"
    commit = rows(site, "SELECT commit_id FROM releases JOIN apps ON app_id = apps.id AND number = current_release")[0][0]
    head = (paas.root / "repositories" / f"{APP}.git" / "refs/heads/master").read_text().strip() if commit else None
    if way.commits and commit != head:
        yield f"the branch is at {head}, the release's commit is {commit}"


def doctor(site: Site) -> Iterator[str]:
    """What doctor says about it."""
    found = json.loads(site.paas.command("doctor", "--format", "json").out)
    looked = ("dispatcher", "agent", "router", "app", "container", "image", "operation", "database", "files")
    bad = [item["text"] for item in found if item["level"] != "ok" and item["check"] in looked]
    if bad:
        yield f"doctor: {bad}"


def files(site: Site) -> set[str]:
    """What lies in PAAS_ROOT but for git's objects, logs and what is kept to be faster."""
    grows = ("operations/", "cache", "checkouts", "log/", "paas.db", "locks/", "run/engine-root.json", "run/build-cache-trimmed")
    names = {str(path.relative_to(site.paas.root)) for path in site.paas.root.rglob("*")}
    return {name for name in names if not OBJECT.search(name) and not name.startswith(grows)}


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A server that can be killed, and an app with two web processes and a worker, deployed once."""
    images.ensure([images.SHELL])
    with contextlib.closing(docker.from_env()) as engine:
        for number in (0, 1):
            _image(f"{PREFIX}/v{number}", f"ENV VERSION=v{number}\n")
        with (
            tempfile.TemporaryDirectory(prefix="paas-test-kill-", dir="/tmp") as folder,
            running_paas((sys.executable, "-P", str(LAUNCHER), f"{folder}/point")) as paas,
        ):
            made = Site(paas, doors.embedded(paas), engine, Path(folder, "point"), Repo(paas.root.parent / "repo"))
            paas.command("apps:create", APP).ok()
            paas.command("checks:set", APP, "wait-to-retire", "1").ok()
            paas.command("ps:scale", APP, "web=2", "worker=1").ok()
            paas.command("git:from-image", APP, f"{PREFIX}/v1").ok()
            paas.command("git:from-image", APP, f"{PREFIX}/v0").ok()
            yield made


def _image(tag: str, lines: str) -> None:
    context = {"Procfile": PROCFILE, "Dockerfile": f"{BASE}{lines}WORKDIR /app\nCOPY Procfile /app/Procfile\n"}
    subprocess.run(["docker", "build", "-q", "-t", tag, "-"], input=tar_of(context), check=True, capture_output=True)


def main(names: list[str]) -> int:
    """Every point of every way in, or of those that are named."""
    bad = 0
    print("point | way in | killed | what served then")
    for way in WAYS:
        if names and way.name not in names:
            continue
        with site() as made:
            for case in cases(way):
                try:
                    result = perform(made, case)
                except AssertionError as error:
                    bad += 1
                    result = f"FAILED: {error}"
                print(f"{case.point.name} | {way.name} | {case.victims} | {result}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
