"""Reading for somebody who may not see what this machine sees: public addresses, and those an administrator allows."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from typing import Any

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.git_url import RemoteUrl
from paas.model.private_hosts import may_be_read
from paas.store.properties import GLOBAL

PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418}


class NotPublic(PaasError):
    """{site} has no public address. Nothing was read. An administrator can allow it: git:set --global private-hosts {site}"""


def public_addresses(session: Session, host: str, port: int) -> list[str]:
    """The addresses of a host, all of which may be read. Raises NotPublic, and OSError for a name without any."""
    allowed = session.properties.computed(GLOBAL, "git", "private-hosts")
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    for address in addresses:
        if not may_be_read(allowed, host, port, address):
            raise NotPublic(site=f"{host}:{port}")
    return addresses


def public_handlers(session: Session) -> list[urllib.request.BaseHandler]:
    """For urllib: connections are made to the very addresses that were looked at, after a redirect too."""

    def connect(address: tuple[str, int], timeout: Any = None, source: Any = None) -> socket.socket:
        host, port = address
        failed: OSError = ConnectionRefusedError()
        for found in public_addresses(session, host, port):
            try:
                return socket.create_connection((found, port), timeout, source)
            except OSError as error:
                failed = error
        raise failed

    class Http(http.client.HTTPConnection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._create_connection = connect  # http.client puts its own there

    class Https(Http, http.client.HTTPSConnection):
        pass

    class HttpHandler(urllib.request.HTTPHandler):
        def http_open(self, request: Any) -> Any:
            return self.do_open(Http, request)

    class HttpsHandler(urllib.request.HTTPSHandler):
        def https_open(self, request: Any) -> Any:
            return self.do_open(Https, request)

    return [HttpHandler(), HttpsHandler()]


def public_git_words(session: Session, remote: RemoteUrl) -> list[str]:
    """Options for git, so that it reads `remote` there and nowhere else. Raises NotPublic, OSError."""
    port = remote.port or PORTS[remote.scheme]
    addresses = public_addresses(session, remote.host, port)
    words = ["-c", "http.followRedirects=false"]
    if remote.host.strip("[]") not in addresses:
        words += ["-c", f"http.curloptResolve={remote.host}:{port}:{','.join(addresses)}"]
    return words
