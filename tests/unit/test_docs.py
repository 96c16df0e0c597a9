"""What the documents say is what the program does."""

import re
import runpy
from pathlib import Path

from paas import cli
from paas.settings import Settings

ROOT = Path(__file__).parent.parent.parent


def test_commands_page_is_what_the_program_says() -> None:
    page = runpy.run_path(str(ROOT / "docs/generate.py"))
    assert page["render"]() == (ROOT / "docs/commands.md").read_text(), "run: python docs/generate.py"
    assert page["render_security"]() == (ROOT / "docs/security.md").read_text(), "run: python docs/generate.py"


def test_every_command_explains_itself() -> None:
    for command in cli.commands().values():
        assert command.summary, command.name


def test_every_setting_has_its_row() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    source = (ROOT / "paas/settings.py").read_text()
    names = set(re.findall(r"PAAS_[A-Z_]+", source))
    assert names
    for name in names:
        assert f"`{name}`" in page
    assert Settings.from_environment({"PAAS_ROOT": "/x"}).domain == "localhost"


def test_commands_in_the_readme_exist() -> None:
    known = set(cli.commands()) | set(cli.groups())
    text = (ROOT / "README.md").read_text()
    named = {word.strip("`,|.()") for word in text.split() if ":" in word}
    commands = {word for word in named if word.split(":")[0] in cli.groups() and not word.endswith(":")}
    assert len(commands) > 10
    assert commands <= known


def test_every_module_of_the_largest_room_is_on_the_map() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    modules = {path.stem for path in (ROOT / "paas/deploy").rglob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in page} == set(), "name it in docs/architecture.md"
