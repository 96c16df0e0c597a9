"""Changes of an app: images, config, restarts, rollbacks."""

from __future__ import annotations

import json
import time
from collections import deque
from functools import cached_property

from bench.measure import Goal, Row, Samples, Scenario
from bench.site import WEB_PORT, Site

APPS_AT_ONCE = 20
RUN_UNTIL_200 = "ssh true + docker run until 200"


class FirstDeploy(Scenario):
    """git:from-image of an image that is here but was never deployed, into a new app."""

    rows = (
        Row("from-image", "first git:from-image until 200", RUN_UNTIL_200, Goal(1.25)),
        Row("from-image-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    def ours(self) -> Samples:
        mark = self.site.mark()
        image, app = self.site.new_image(mark), f"first-{next(self.site.numbers)}"
        self.site.on_host("apps:create", app)
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), "git:from-image", app, image) as process:
            served = self.site.served(app, mark, process)
        ended = time.perf_counter()
        self.site.forget_app(app)
        self.site.forget_image(image)
        return {"from-image": served - started, "from-image-end": ended - started}

    def floor(self) -> Samples:
        return dict.fromkeys(("from-image", "from-image-end"), _new_image_until_200(self.site))

    def peer(self) -> Samples:
        image, app = self.site.new_image(self.site.mark()), f"first-{next(self.site.numbers)}"
        self.site.ssh("peer", "apps:create", app)
        taken = self.site.ssh("peer", "git:from-image", app, image)
        self.site.ssh("peer", "--force", "apps:destroy", app)
        self.site.forget_image(image)
        return {"from-image-end": taken}


class NextDeploy(Scenario):
    """git:from-image of an image that is here, into an app that serves another one."""

    rows = (
        Row("from-image-next", "next git:from-image until served", RUN_UNTIL_200, Goal(1.25)),
        Row("from-image-next-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    def ours(self) -> Samples:
        app, mark = self.site.web.name, self.site.mark()
        image = self.site.new_image(mark)
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), "git:from-image", app, image) as process:
            served = self.site.served(app, mark, process)
        ended = time.perf_counter()
        self.site.web.image = image
        self.site.settle(app)
        return {"from-image-next": served - started, "from-image-next-end": ended - started}

    def floor(self) -> Samples:
        return dict.fromkeys(("from-image-next", "from-image-next-end"), _new_image_until_200(self.site))

    def peer(self) -> Samples:
        image = self.site.new_image(self.site.mark())
        return {"from-image-next-end": self.site.ssh("peer", "git:from-image", self.site.web.on_peer, image)}


class Rollback(Scenario):
    """Back to the release before, there and back again."""

    rows = (
        Row("rollback", "releases:rollback until the old page is served", RUN_UNTIL_200, Goal(1.2)),
        Row("rollback-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    @cached_property
    def marks(self) -> deque[str]:
        """Of the release before and the current one."""
        marks = deque(self.site.mark() for _ in range(2))
        self.site.on_host("apps:create", "back")
        for mark in marks:
            self.site.on_host("git:from-image", "back", self.site.new_image(mark))
            self.site.served("back", mark)
        return marks

    def ours(self) -> Samples:
        before = self.marks[0]
        current = max(
            item["release"] for item in json.loads(self.site.on_host("releases", "back", "--format", "json"))
        )
        words = ("releases:rollback", "back", str(current - 1))
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), *words) as process:
            served = self.site.served("back", before, process)
        ended = time.perf_counter()
        self.marks.rotate()
        self.site.settle("back")
        return {"rollback": served - started, "rollback-end": ended - started}

    def floor(self) -> Samples:
        return dict.fromkeys(("rollback", "rollback-end"), _run_until_200(self.site, self.site.web.image))


class TwentyDeploys(Scenario):
    """Twenty new apps at once: all commands have ended and every app serves."""

    rows = (
        Row(
            "deploys-at-once",
            f"{APPS_AT_ONCE} first git:from-image at once",
            f"{APPS_AT_ONCE} times ssh true, {APPS_AT_ONCE} docker run until 200, at once",
            Goal(1.5),
        ),
    )

    def ours(self) -> Samples:
        marks = [self.site.mark() for _ in range(APPS_AT_ONCE)]
        apps = {f"crowd-{mark.strip('-')}": (mark, self.site.new_image(mark)) for mark in marks}
        for app in apps:
            self.site.on_host("apps:create", app)
        started = time.perf_counter()
        self.site.at_once(
            [[*self.site.host("paas"), "git:from-image", app, image] for app, (_, image) in apps.items()]
        )
        served = max(self.site.served(app, mark) for app, (mark, _) in apps.items())
        for app, (_, image) in apps.items():
            self.site.forget_app(app)
            self.site.forget_image(image)
        return {"deploys-at-once": served - started}

    def floor(self) -> Samples:
        marks = [self.site.mark() for _ in range(APPS_AT_ONCE)]
        names = [self.site.new_image(mark) for mark in marks]
        started = time.perf_counter()
        self.site.at_once([[*self.site.host("true"), "true"]] * APPS_AT_ONCE)
        containers = self.site.at_once([self.site.docker_run_words(name) for name in names])
        served = max(
            self.site.container_serves(container.strip(), WEB_PORT, mark)
            for container, mark in zip(containers, marks, strict=True)
        )
        for name in names:
            self.site.forget_image(name)
        return {"deploys-at-once": served - started}


class Unchanged(Scenario):
    """git:from-image of what runs already."""

    rounds = 4
    rows = (Row("unchanged", "git:from-image, nothing changed", "ssh host true", Goal(1.25)),)

    def ours(self) -> Samples:
        web = self.site.web
        return {"unchanged": self.site.ssh("paas", "git:from-image", web.name, web.image)}

    def floor(self) -> Samples:
        return {"unchanged": self.site.true()}


class ConfigSet(Scenario):
    """A changed value, which restarts the app."""

    rows = (
        Row("config-set", "config:set with restart until the new value is served", RUN_UNTIL_200, Goal(1.3)),
        Row("config-set-end", "the same, until the command ends", RUN_UNTIL_200),
    )

    def ours(self) -> Samples:
        app, mark = self.site.web.name, self.site.mark()
        started = time.perf_counter()
        with self.site.running(*self.site.host("paas"), "config:set", app, f"GREETING={mark}") as process:
            served = self.site.served(app, mark, process)
        ended = time.perf_counter()
        self.site.settle(app)
        return {"config-set": served - started, "config-set-end": ended - started}

    def floor(self) -> Samples:
        return dict.fromkeys(("config-set", "config-set-end"), _run_until_200(self.site, self.site.web.image))

    def peer(self) -> Samples:
        words = ("config:set", self.site.web.on_peer, f"GREETING={self.site.mark()}")
        return {"config-set-end": self.site.ssh("peer", *words)}


class Restart(Scenario):
    """The same release in new containers."""

    rows = (Row("restart", "ps:restart until the command ends", RUN_UNTIL_200),)

    def ours(self) -> Samples:
        taken = self.site.ssh("paas", "ps:restart", self.site.web.name)
        self.site.settle(self.site.web.name)
        return {"restart": taken}

    def floor(self) -> Samples:
        return {"restart": _run_until_200(self.site, self.site.web.image)}

    def peer(self) -> Samples:
        return {"restart": self.site.ssh("peer", "ps:restart", self.site.web.on_peer)}


def _new_image_until_200(site: Site) -> float:
    mark = site.mark()
    image = site.new_image(mark)
    started = time.perf_counter()
    site.true()
    taken = site.docker_run(image, WEB_PORT, mark) - started
    site.forget_image(image)
    return taken


def _run_until_200(site: Site, image: str) -> float:
    started = time.perf_counter()
    site.true()
    return site.docker_run(image, WEB_PORT, "mark-") - started
