"""url, urls and version."""

from __future__ import annotations

from paas import __version__
from paas.commands.base import AppArgument, FormatOption, Group, session, the_app, wants_json
from paas.deploy.routing.urls import urls as app_urls
from paas.model.access import ANYONE, VIEW

urls_group = Group("urls", "Show all URLs of an app", bare="urls")
url_group = Group("url", "Show the first URL of an app", bare="url")
version_group = Group("version", "Print the version of paas", bare="version")


@urls_group.command(":urls", needs=VIEW)
def urls(app: AppArgument = "", show_format: FormatOption = "stdout") -> None:
    """Show all URLs of an app."""
    found = app_urls(session(), the_app(app))
    if wants_json(show_format):
        session().console.json(found)
        return
    for url in found:
        session().console.print(url)


@url_group.command(":url", needs=VIEW)
def url(app: AppArgument = "") -> None:
    """Show the first URL of an app."""
    for first in app_urls(session(), the_app(app))[:1]:
        session().console.print(first)


@version_group.command(":version", needs=ANYONE)
def version() -> None:
    """Print the version of paas."""
    session().console.print(f"paas version {__version__}")
