"""metrics — requests, errors and times of apps, for Prometheus or as JSON."""

from __future__ import annotations

from paas.commands.base import (
    AppArgument,
    FormatOption,
    Group,
    every_app,
    session,
    the_app,
    wants_json,
)
from paas.deploy.routing import traffic
from paas.model.access import VIEW_SOME

group = Group("metrics", "Requests, errors and times of apps, for Prometheus", bare="metrics")


@group.command(":metrics", needs=VIEW_SOME)
def metrics(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """Print what the router counts of one app or of all."""
    apps = [the_app(app)] if app else every_app()
    if wants_json(show_format):
        session().console.json(traffic.as_rows(session(), apps))
        return
    session().console.print(traffic.prometheus(session(), apps))
