"""Commands that only read, one after the other and many at once."""

from __future__ import annotations

import time
from functools import cached_property

from bench.measure import Goal, Row, Samples, Scenario

AT_ONCE = 50


class ReadCommands(Scenario):
    """Commands that only read."""

    rounds = 4
    commands = (("apps-list", "apps:list"), ("config-get", "config:get"), ("ps-report", "ps:report"))
    rows = (
        *(Row(name, f"ssh host {command}", "ssh host true", Goal(1.15)) for name, command in commands),
        Row("apps-list-embedded", "apps:list, embedded SSH server", "ssh host true, by sshd"),
    )

    @cached_property
    def key(self) -> str:
        """The name of a value that is there to be read."""
        self.site.on_host("config:set", "--no-restart", self.site.web.name, "COLOUR=blue")
        return "COLOUR"

    def ours(self) -> Samples:
        app = self.site.web.name
        words = {"config-get": (app, self.key), "ps-report": (app,)}
        taken = {
            name: self.site.ssh("paas", command, *words.get(name, ())) for name, command in self.commands
        }
        return taken | {"apps-list-embedded": self.site.ssh("embedded", "apps:list")}

    def floor(self) -> Samples:
        return {row.name: self.site.true() for row in self.rows}

    def peer(self) -> Samples:
        return {"apps-list": self.site.ssh("peer", "apps:list")}


class ManyReads(Scenario):
    """As many commands at once as a busy team and its CI send."""

    rows = (
        Row(
            "at-once",
            f"{AT_ONCE} apps:list at once, until all have ended",
            f"{AT_ONCE} ssh host true",
            Goal(1.3),
        ),
    )

    def ours(self) -> Samples:
        return {"at-once": self._taken("paas", "apps:list")}

    def floor(self) -> Samples:
        return {"at-once": self._taken("true", "true")}

    def peer(self) -> Samples:
        return {"at-once": self._taken("peer", "apps:list")}

    def _taken(self, host: str, word: str) -> float:
        started = time.perf_counter()
        self.site.at_once([[*self.site.host(host), word]] * AT_ONCE)
        return time.perf_counter() - started
