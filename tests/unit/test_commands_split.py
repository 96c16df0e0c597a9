"""Which word is the command, which are its flags, and what is refused before anything is done."""

from __future__ import annotations

import pytest
from support.in_process import Commands

from paas import cli
from paas.cli import CommandLine
from paas.errors import UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], CommandLine("help", [])),
        (["apps:list"], CommandLine("apps:list", [])),
        (["--quiet", "apps:list"], CommandLine("apps:list", [], quiet=True)),
        (["apps:list", "--quiet"], CommandLine("apps:list", [], quiet=True)),
        (["--trace", "apps:list", "--trace"], CommandLine("apps:list", [], trace=True)),
        (["--app", "a", "ps:scale", "web=2"], CommandLine("ps:scale", ["a", "web=2"])),
        (["ps:scale", "--app", "a", "web=2"], CommandLine("ps:scale", ["a", "web=2"], aptible=True)),
        (["ps:scale", "web=2", "--app=a"], CommandLine("ps:scale", ["a", "web=2"], aptible=True)),
        (["ps:scale", "a", "--environment", "e"], CommandLine("ps:scale", ["a"], environment="e")),
        (["ps:scale", "a", "--", "--app", "b"], CommandLine("ps:scale", ["a", "--", "--app", "b"])),
        (["--app", "a", "--quiet", "git:report", "--git-sha"], CommandLine("git:report", ["a", "--git-sha"], quiet=True)),
        (["--force", "apps:destroy", "a"], CommandLine("apps:destroy", ["--force", "a"])),
        (["--force", "apps:list"], CommandLine("apps:list", [])),
        (["apps:destroy", "a", "--force"], CommandLine("apps:destroy", ["a", "--force"])),
        (["run", "a", "ls", "--quiet", "--app", "x"], CommandLine("run", ["a", "ls", "--quiet", "--app", "x"])),
        (["--quiet", "run", "a", "--quiet"], CommandLine("run", ["a", "--quiet"], quiet=True)),
        (["run", "--app", "a", "ls", "--app", "x"], CommandLine("run", ["a", "ls", "--app", "x"], aptible=True)),
        (["enter", "a", "web", "--trace"], CommandLine("enter", ["a", "web", "--trace"])),
        (["--version"], CommandLine("version", [])),
        (["-v"], CommandLine("version", [])),
        (["--help"], CommandLine("help", [])),
        (["apps:list", "--app"], CommandLine("apps:list", ["--app"])),
        (["nope", "x"], CommandLine("nope", ["x"])),
        ([""], CommandLine("", [])),
    ],
)  # fmt: skip
def test_global_flags(words: list[str], expected: CommandLine) -> None:
    before = list(words)
    assert cli.split(words) == expected
    assert words == before


@pytest.mark.parametrize("flag", ["--nope", "--quiet=1", "--\n", "--app"])
def test_an_unknown_flag_before_the_command(flag: str) -> None:
    with pytest.raises(UsageError) as caught:
        cli.split([flag] if flag == "--app" else [flag, "apps:list"])
    assert caught.value.exit_code == 2 and len(caught.value.lines) == 1


@pytest.mark.parametrize("name", ["nope", "git:nope", "apps:", ":apps", "Apps:list", "", "a\nb", "../x"])
def test_an_unknown_command(paas_command: Commands, name: str) -> None:
    said = paas_command(name)
    shown = name.replace("\n", r"\n")
    assert (said.code, said.out) == (1, "")
    assert said.err == f" !     `{shown}` is not a paas command.\n !     See `paas help` for a list of available commands.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--nope", "apps:list"],
        ["apps:list", "--nope"],
        ["apps:list", "extra", "words"],
        ["apps:create", "-x"],
        ["git:from-image", "a", "b", "--build-dir"],
        ["run", "--nope", "a"],
        ["operations", "--num", "many"],
        ["operations", "--num", "0"],
        ["operation:logs"],
        ["operation:logs", "x"],
        ["operation:cancel", "²"],
        ["logs", "a", "-n", "-1"],
        ["ssh-keys:add", "a", "b", "c"],
    ],
)
def test_words_that_can_not_be_read_exit_with_2_and_one_line(paas_command: Commands, words: list[str]) -> None:
    said = paas_command(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(" !     ") and said.err.count("\n") == 1


def test_the_answer_to_a_bad_option_says_where_help_is(paas_command: Commands) -> None:
    assert paas_command("apps:list", "--nope").err.endswith("See paas apps:list --help\n")
    assert paas_command("--nope").err == " !     No such option: --nope\n"


def test_a_setting_that_can_not_be_read(paas_command: Commands) -> None:
    paas_command.monkeypatch.setenv("PAAS_HTTP_LISTEN", "nonsense")
    said = paas_command("apps:list")
    assert said.code == 2 and said.out == ""
    assert said.err == " !     PAAS_HTTP_LISTEN: 'nonsense' is not host:port. Nothing was done. Mend the setting, then try again\n"


def test_every_command_explains_itself(paas_command: Commands) -> None:
    for name, command in cli.commands().items():
        said = paas_command(name, "--help")
        assert (said.code, said.err) == (0, ""), name
        assert said.out.startswith(f"Usage: paas {name}"), name
        assert command.summary, f"{name} has no docstring"


def test_help_lists_all_but_the_hidden(paas_command: Commands) -> None:
    shown = paas_command("help", "--all").out
    for name, command in cli.commands().items():
        assert (f"    {name} " in shown) is (not command.hidden), name
    assert "git-receive-pack" not in shown
    short = paas_command("help")
    assert short.code == 0 and "    apps " in short.out and short.out == paas_command("--help").out == paas_command().out


def test_help_for_one_group(paas_command: Commands) -> None:
    said = paas_command("apps:help")
    assert said == paas_command("help", "apps")
    assert said.code == 0 and "    apps:create " in said.out and "git:" not in said.out
    assert paas_command("help", "nope").code == 1


def test_a_group_alone_is_its_usual_command(paas_command: Commands) -> None:
    assert paas_command("apps") == paas_command("apps:list")
    assert paas_command("git") == paas_command("git:help")
    assert paas_command("version").out == paas_command("-v").out
    assert paas_command("version").out.startswith("paas version ")
