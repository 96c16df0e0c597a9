"""docs/dokku.md: every command of Dokku, and nothing of it is out of date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from support.in_process import Commands

from paas import cli
from paas.commands.unsupported import UNSUPPORTED, reason

ROOT = Path(__file__).parent.parent.parent
page = runpy.run_path(str(ROOT / "docs/generate.py"))
ROWS = list(page["dokku_rows"]())
TABLE = page["dokku_table"]()
NAMES = {row.name for row in ROWS}


def test_the_page_is_what_the_program_and_the_table_say() -> None:
    assert page["render_dokku"]() == (ROOT / "docs/dokku.md").read_text(), "run: python docs/generate.py"


def test_no_command_of_the_table_is_missing() -> None:
    assert [row.name for row in ROWS if row.status == "missing"] == []
    assert len(NAMES) == len(ROWS) > 250


def test_no_command_of_dokkus_groups_is_left_out() -> None:
    """What the program has in a group of Dokku's is in the table: as a command of Dokku's or as our own."""
    for group in cli.groups().values():
        own = TABLE.get(group.name, {}).get("own", [])
        shown = {command.name for command in group.commands if not command.hidden}
        if group.name in TABLE:
            assert shown - NAMES == set(own), group.name


def test_notes_are_about_commands_that_are_there() -> None:
    for group, table in TABLE.items():
        assert set(table.get("differs", {})) <= {row.name for row in ROWS if row.group == group}, group
    for row in ROWS:
        assert not (row.status == "not planned" and row.name in TABLE[row.group].get("differs", {})), row.name


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_what_is_not_there_says_so_in_one_line(paas_command: Commands, name: str) -> None:
    registered = {
        item for item in (*cli.commands(), *cli.groups()) if item == name or item.startswith(f"{name}:")
    }
    assert registered == set()
    for whole in (name, f"{name}:anything") if ":" not in name else (name,):
        said = paas_command(whole, "app", "--flag")
        assert (said.code, said.out) == (1, "")
        assert said.err == f" !     {whole} is not a part of paas: {reason(name)}\n"
    listed = [
        line.split()[0] for line in paas_command("help", "--all").out.splitlines() if line.startswith("    ")
    ]
    assert listed and name not in listed


def test_every_reason_is_about_a_command_of_dokku() -> None:
    asked = {row.name for row in ROWS} | {row.name.partition(":")[0] for row in ROWS}
    asked |= {row.name.rpartition(":")[0] for row in ROWS}
    assert set(UNSUPPORTED) <= asked


@pytest.mark.parametrize(
    ("alias", "group"),
    [
        ("docker-local", "scheduler-docker-local"),
        ("dockerfile", "builder-dockerfile"),
        ("herokuish", "builder-herokuish"),
        ("k3s", "scheduler-k3s"),
        ("lambda", "builder-lambda"),
        ("nixpacks", "builder-nixpacks"),
        ("pack", "builder-pack"),
        ("rails", "builder-railpack"),
    ],
)
def test_aliases_of_the_first_word(alias: str, group: str) -> None:
    assert cli.split([alias]).name == group
    assert cli.split(["--app", "a", f"{alias}:report", "--quiet"]) == cli.CommandLine(
        f"{group}:report", ["a"], quiet=True
    )
    assert cli.split([f"x{alias}:report"]).name == f"x{alias}:report"
    assert cli.split(["apps:list", alias]).words == [alias]


@pytest.mark.parametrize("name", sorted(set(TABLE) & set(cli.groups()) - {"help", "version", "url", "urls"}))
def test_help_of_a_group(paas_command: Commands, name: str) -> None:
    said = paas_command(f"{name}:help")
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert lines[0] == f"Usage: paas {name}[:COMMAND]" and lines[1] == lines[3] == ""
    assert lines[4] == "Additional commands:" and lines[5:]
    starts = {line.index("  ", 4) for line in lines[5:]}
    assert all(line.startswith("    ") and line[4] != " " for line in lines[5:]) and starts


# The others have a command of their own that Dokku runs too.
BARE = {"apps", "config", "enter", "events", "logs", "run"}


@pytest.mark.parametrize("name", sorted(set(TABLE) & set(cli.groups())))
def test_a_bare_group_is_its_help_or_the_command_that_dokku_runs(name: str) -> None:
    if name in BARE or name in NAMES:
        assert cli.groups()[name].bare
    else:
        assert cli.groups()[name].bare is None
