"""Requests through the router beside the container itself, and beside other proxies in front of it."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from bench.measure import Row, Samples, Scenario
from bench.proxies import (
    CADDY,
    FAST_PORT,
    NGINX,
    WRK,
    fast_image,
    load,
    running_proxies,
    self_signed,
)
from bench.site import Site

CONNECTIONS = (1, 64)
NAMES = {"direct": "the container itself", "nginx": "Debian's nginx", "caddy": "Debian's Caddy"}


def _rows(kind: str, what: str, floors: tuple[str, ...]) -> tuple[Row, ...]:
    found = []
    for count in CONNECTIONS:
        for floor in floors:
            text = f"{what}, {count} connection{'s' if count > 1 else ''}"
            found.append(Row(f"{kind}-{count}-{floor}", f"{text}, requests/s", NAMES[floor], unit="req/s"))
            found.append(Row(f"{kind}-{count}-{floor}-p99", f"{text}, p99", NAMES[floor], unit="us"))
    return tuple(found)


class Ground:
    """The apps that are asked, and the other proxies in front of one's container. Made once."""

    def __init__(self, site: Site) -> None:
        files = self_signed(site.base)
        image = fast_image(site)
        for app in ("fast", "fast-tls"):
            site.on_host("apps:create", app)
            site.on_host("git:from-image", app, image)
        # wrk asks for the certificate of the host in its URL, so that has to be one that everybody can look up.
        site.on_host("domains:set", "fast-tls", "localhost")
        site.on_host("certs:add", "fast-tls", *map(str, files))
        labels = ["paas.app=fast", f"paas.root={site.paas.root}"]
        container = site.engine.api.containers(filters={"label": labels})[0]
        address = next(iter(container["NetworkSettings"]["Networks"].values()))["IPAddress"]
        self.upstream = f"{address}:{FAST_PORT}"
        self.ports = site.kept.enter_context(running_proxies(site.base, self.upstream, files))
        self.ports["ours"] = site.paas.http_port, site.paas.https_port

    @classmethod
    def of(cls, site: Site) -> Ground:
        """The site's."""
        if not isinstance(site.ground, cls):
            site.ground = cls(site)
        return site.ground


class Requests(Scenario):
    """A small answer, over connections that stay open."""

    kind: ClassVar[str] = "http"
    floors: ClassVar[tuple[str, ...]] = ("direct", "nginx", "caddy")
    rows = _rows("http", "HTTP through the router", ("direct", "nginx", "caddy"))
    programs = (NGINX, CADDY, WRK)

    @cached_property
    def ground(self) -> Ground:
        return Ground.of(self.site)

    def ours(self) -> Samples:
        return {
            name: number
            for count in CONNECTIONS
            for name, number in self._samples(count, self.floors, self._load("ours", count)).items()
        }

    def floor(self) -> Samples:
        return {
            name: number
            for floor in self.floors
            for count in CONNECTIONS
            for name, number in self._samples(count, (floor,), self._load(floor, count)).items()
        }

    def _samples(self, count: int, floors: tuple[str, ...], taken: tuple[float, float]) -> dict[str, float]:
        found = {}
        for floor in floors:
            found[f"{self.kind}-{count}-{floor}"], found[f"{self.kind}-{count}-{floor}-p99"] = taken
        return found

    def _load(self, side: str, count: int) -> tuple[float, float]:
        if side == "direct":
            return load(f"http://{self.ground.upstream}/", count)
        host = "fast.localhost" if side == "ours" else "localhost"
        return load(f"http://127.0.0.1:{self.ground.ports[side][0]}/", count, host)


class TlsRequests(Requests):
    """The same over TLS."""

    kind = "https"
    floors = ("nginx", "caddy")
    rows = _rows("https", "HTTPS through the router", ("nginx", "caddy"))

    def _load(self, side: str, count: int) -> tuple[float, float]:
        return load(f"https://localhost:{self.ground.ports[side][1]}/", count)
