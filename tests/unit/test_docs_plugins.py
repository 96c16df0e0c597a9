"""docs/plugins.md: every hook has its paragraph, and the example is a plugin."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from support.plugins import write_example

from paas.check_plugin import main
from paas.plugins import specs

PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text()
HOOKS = {name: item for name, item in vars(specs).items() if hasattr(item, "paas_spec")}


def test_every_hook_has_its_paragraph_and_its_docstring() -> None:
    sections = dict(re.findall(r"^### `(\w+)`\n\n(.+?)(?=\n#|\Z)", PAGE, re.MULTILINE | re.DOTALL))
    assert set(sections) == set(HOOKS) and len(HOOKS) > 5
    for name, item in HOOKS.items():
        assert len(sections[name].split()) > 10, name
        assert inspect.getdoc(item), name


def test_the_trust_that_a_plugin_needs_is_stated() -> None:
    assert "all rights of paas" in PAGE.partition("## Trust")[2].partition("\n## ")[0]


def test_the_example_is_short_and_can_be_loaded(tmp_path: Path, paas_command: object) -> None:
    folder = write_example(tmp_path)
    lines = [line for line in (folder / "__init__.py").read_text().splitlines() if line]
    assert 25 < len(lines) <= 45
    assert main([str(folder), "lantern"]) == 0
