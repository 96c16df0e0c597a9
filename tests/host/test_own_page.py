"""MAINTENANCE_PAGE_URL: fetched with a release, shown when the app's processes do not answer, kept when it is gone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.doors import Door
from support.server import Paas


@contextlib.contextmanager
def page_server(body: bytes) -> Iterator[str]:
    """The URL of a server that answers everything with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page.html"
        server.shutdown()


@pytest.fixture
def app(host: Door, image_names: dict[str, str]) -> Iterator[str]:
    host.ssh("apps:create", "paged").ok()
    host.ssh("git:set", "--global", "private-hosts", "127.0.0.1").ok()
    host.ssh("git:from-image", "paged", image_names["web"]).ok()
    yield "paged"
    host.ssh("apps:destroy", "--force", "paged").ok()


def test_an_apps_own_page(paas: Paas, host: Door, app: str) -> None:
    with page_server("<h1>Zur\u00fcck um zw\u00f6lf</h1>".encode()) as url:
        host.ssh("config:set", app, f"MAINTENANCE_PAGE_URL={url}").ok()
    assert paas.http_get(app).status == 200
    host.ssh("ps:stop", app).ok()
    answer = paas.http_get(app)
    assert (answer.status, answer.body) == (503, "<h1>Zur\u00fcck um zw\u00f6lf</h1>")
    # The server of the page is gone: the deploy goes on, with the page that is known.
    said = host.ssh("ps:rebuild", app)
    assert said.code == 0
    assert "The page of MAINTENANCE_PAGE_URL was not taken (" in said.err + said.out
    assert "the one of before stays" in said.err + said.out
    host.ssh("ps:scale", app, "web=0").ok()
    assert paas.http_get(app).body == "<h1>Zur\u00fcck um zw\u00f6lf</h1>"
    host.ssh("config:unset", app, "MAINTENANCE_PAGE_URL").ok()
    assert "Not available right now" in paas.http_get(app).body


@pytest.mark.parametrize(
    ("body", "reason"), [(b"x" * 9000, "it has more than 8192 bytes"), (b"\xff\xfe", "it is no text in UTF-8")]
)
def test_what_is_no_page(paas: Paas, host: Door, app: str, body: bytes, reason: str) -> None:
    with page_server(body) as url:
        said = host.ssh("config:set", app, f"MAINTENANCE_PAGE_URL={url}")
    assert said.code == 0
    assert f"The page of MAINTENANCE_PAGE_URL was not taken ({reason}); the one of before stays" in said.err
    host.ssh("ps:stop", app).ok()
    assert "Not available right now" in paas.http_get(app).body
