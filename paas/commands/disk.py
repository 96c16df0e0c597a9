"""disk:* — how much room there is, and how much has to be free before a deploy begins."""

from __future__ import annotations

from paas.commands.base import FormatOption, Group, session, wants_json
from paas.commands.properties import add_set_command
from paas.console import size
from paas.deploy.sources.space import disks

group = Group("disk", "Show free space, and choose how much has to be free")
add_set_command(group, "disk")


@group.command("report")
def disk_report(show_format: FormatOption = "stdout") -> None:
    """Show the free space of paas and of the Docker Engine, and what has to be free before a build, pull or load begins."""
    found = disks(session())
    console = session().console
    if wants_json(show_format):
        console.json(
            [
                {"path": str(item.path), "of": item.whose, "free": item.free, "total": item.total, "least": item.least}
                for item in found
            ]
        )
        return
    console.header("Free space")
    rows = [("Of", "Path", "Free", "Total", "Has to be free")]
    rows += [(item.whose, str(item.path), size(item.free), size(item.total), size(item.least)) for item in found]
    console.table(rows)
