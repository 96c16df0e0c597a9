"""What the router says of requests, as an app's own."""

from __future__ import annotations

import io
from types import SimpleNamespace

from paas.console import Console
from paas.deploy.routing.traffic import show_requests
from paas.deploy.session import Session
from paas.model.names import AppName
from paas.router.requests import Request


def test_requests_of_the_app_that_had_the_slot_before_are_not_shown(session: Session) -> None:
    app = session.apps.create(AppName("new"))

    def request(at: float, line: str) -> Request:
        return Request(at, "192.0.2.1", app.slot, "web.1.abc", 200, 5, 0, 1, 2, "--", "h", line)

    found = [request(app.created_at - 1, "GET /theirs"), request(app.created_at + 1, "GET /mine")]
    session.router = SimpleNamespace(missing=None, requests=lambda slot: found)  # type: ignore[assignment]
    session.console = Console(io.StringIO(), io.StringIO())
    show_requests(session, app, 10, follow=False, as_json=False)
    said = session.console.out.getvalue()  # type: ignore[attr-defined]
    assert "/mine" in said and "/theirs" not in said
