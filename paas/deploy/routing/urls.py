"""Where an app is to be found."""

from __future__ import annotations

from paas.deploy.routing.ports import reach
from paas.deploy.routing.routes import is_routers_own
from paas.deploy.session import Session
from paas.model.port import HTTP_PORT, HTTPS_PORT
from paas.model.release import WEB
from paas.settings import host_fqdn
from paas.store.apps import App

USUAL = (("http", HTTP_PORT), ("https", HTTPS_PORT))


def urls(session: Session, app: App) -> list[str]:
    """The app's URLs, sorted; where no router leads to it, the addresses of its web processes."""
    found = reach(session, app)
    if session.router.publishes_ports or not found.proxied:
        web = [item for item in session.releases.processes(app.id) if item.process_type == WEB]
        return sorted(f"http://{item.address}:{item.port}" for item in web)
    settings = session.settings
    own = settings.http_listen.port
    hosts = found.domains or session.domains.everywhere() or [host_fqdn()]
    urls = set()
    secured = [domain for domain in found.domains if found.secured(domain)]
    if found.by_domain(settings):
        urls |= {_url("https", domain, settings.https_listen.port) for domain in secured}
        if any(item.scheme == "http" and is_routers_own(settings, item) for item in found.mappings):
            urls |= {_url("http", domain, own) for domain in found.domains}
    for mapping, _ in found.host_ports(settings):
        urls |= {_url(mapping.scheme, host, mapping.host) for host in (secured if mapping.scheme == "https" else hosts)}
    return sorted(urls)


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://{host}" + ("" if (scheme, port) in USUAL else f":{port}")
