"""apps:*, config:*, git:set, ps:* and the answers about apps that were never deployed."""

from __future__ import annotations

import json

import pytest
from support.in_process import Commands, Said

from paas.settings import Settings

NO_APPS = " !     You haven't deployed any applications yet\n"


@pytest.fixture
def web1(paas_command: Commands) -> Commands:
    assert paas_command("apps:create", "web1").code == 0
    return paas_command


def refused(code: int, *lines: str) -> Said:
    return Said(code, "", "".join(f" !     {line}\n" for line in lines))


def test_creating_and_listing(paas_command: Commands) -> None:
    assert paas_command("apps:list") == Said(0, "", NO_APPS)
    assert paas_command("apps:list", "--format", "json") == Said(0, "[]\n", "")
    assert paas_command("apps:create", "b") == Said(0, "-----> Creating b...\n", "")
    paas_command("apps:create", "a-1")
    assert paas_command("apps:list") == Said(0, "=====> My Apps\na-1\nb\n", "")
    assert paas_command("--quiet", "apps:list") == Said(0, "a-1\nb\n", "")
    assert paas_command("apps:list", "--format", "json") == Said(0, '["a-1","b"]\n', "")


def test_names_that_are_refused(web1: Commands) -> None:
    assert web1("apps:create", "web1") == refused(1, "Name is already taken")
    assert web1("apps:create") == refused(1, "Please specify an app to run the command on")
    for name in ("Bad_Name", "a\nb", ".a"):
        assert web1("apps:create", name) == refused(
            1,
            "App name must begin with lowercase alphanumeric character, and may only contain lowercase"
            " alphanumerics, dots, and hyphens",
        )
    assert web1("--quiet", "apps:list").out == "web1\n"


@pytest.mark.parametrize(
    "words",
    [
        ["apps:exists", "nope"], ["apps:destroy", "nope", "--force"], ["apps:rename", "nope", "x"],
        ["git:from-image", "nope"], ["git:from-image", "nope", "nginx"], ["git:load-image", "nope", "nginx"],
        ["git:report", "nope"], ["git:status", "nope"], ["git:set", "nope", "deploy-branch", "x"],
        ["config:show", "nope"], ["config:get", "nope", "K"], ["config:set", "nope", "K=v"], ["config:unset", "nope", "K"],
        ["ps:scale", "nope"], ["ps:scale", "nope", "web=1"], ["ps:report", "nope"], ["ps:stop", "nope"],
        ["ps:restart", "nope"], ["ps:rebuild", "nope"], ["logs", "nope"], ["run", "nope", "ls"], ["enter", "nope"],
        ["urls", "nope"], ["releases", "nope"], ["releases:rollback", "nope"], ["operations", "nope"],
    ],
)  # fmt: skip
def test_no_such_app_is_exit_20(web1: Commands, words: list[str]) -> None:
    assert web1(*words) == refused(20, "App nope does not exist")


@pytest.mark.parametrize(
    "words",
    [["apps:exists"], ["apps:destroy"], ["config:show"], ["ps:scale"], ["logs"], ["run"], ["urls"], ["releases"], ["git:status"]],
)
def test_an_app_has_to_be_given(web1: Commands, words: list[str]) -> None:
    assert web1(*words) == refused(1, "Please specify an app to run the command on")


def test_an_app_that_exists(web1: Commands) -> None:
    assert web1("apps:exists", "web1") == Said(0, "", "")


@pytest.mark.parametrize("answer", ["", "no\n", "web2\n"])
def test_destroying_without_the_right_answer(web1: Commands, answer: str) -> None:
    said = web1("apps:destroy", "web1", stdin=answer)
    assert said.code == 1 and said.out == ""
    assert said.err == (
        " !     WARNING: Potentially Destructive Action\n"
        " !     This command will destroy app web1.\n"
        ' !     To proceed, type "web1"\n'
        " !     Confirmation did not match web1. Aborted.\n"
    )
    assert web1("apps:exists", "web1").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["git:from-image", "web1"], "Please specify a docker image"),
        (["git:load-image", "web1"], "Please specify a docker image"),
        (["git:set", "web1"], "No key specified"),
        (
            ["git:set", "web1", "foo", "bar"],
            "Invalid key specified, valid keys include: archive-max-files, archive-max-size, deploy-branch,"
            " keep-git-dir, private-hosts, push-max-objects, push-max-size, rev-env-var, source-image",
        ),
        (["config:set", "web1"], "At least one env pair must be given"),
        (["config:set", "web1", "x"], "Invalid env pair: x"),
        (["config:set", "web1", "1BAD=x"], "Invalid key name: '1BAD'"),
        (["config:set", "web1", "A B=x"], "Invalid key name: 'A B'"),
        (["config:unset", "web1"], "At least one key must be given"),
        (["config:get", "web1"], "Expected: key"),
        (["config:get", "web1", "A", "B", "C"], "Unexpected argument(s): [B C]"),
        (["config:show", "web1", "--format", "x"], 'Format must be "stdout" or "json": "x"'),
        (["ps:scale", "web1", "web"], "Missing count for process type web"),
        (["ps:scale", "web1", "web="], "Missing count for process type web"),
        (["ps:scale", "web1", "web=x"], "Invalid count for process type web"),
        (["ps:scale", "web1", "web=-1"], "Invalid count for process type web"),
        (["ps:scale", "web1", "web=1001"], "Invalid count for process type web"),
        (["ps:scale", "web1", "web=²"], "Invalid count for process type web"),
        (["ps:scale", "web1", "web=" + "9" * 5000], "Invalid count for process type web"),
        (["logs", "web1"], "App web1 has not been deployed"),
        (["run", "web1", "ls"], "App web1 has not been deployed"),
        (["enter", "web1"], "App web1 has not been deployed"),
        (["releases:rollback", "web1"], "App web1 has not been deployed"),
    ],
)
def test_what_is_refused_says_so_in_one_line_and_changes_nothing(
    web1: Commands, words: list[str], message: str
) -> None:
    assert web1(*words) == refused(1, message)
    assert web1("--quiet", "config:show", "web1").out == "\n"
    assert web1("--quiet", "ps:scale", "web1").out == "web:  1\n"


@pytest.mark.parametrize("command", ["ps:restart", "ps:stop", "ps:start", "ps:rebuild"])
def test_nothing_to_act_on_is_no_failure(web1: Commands, command: str) -> None:
    assert web1(command, "web1") == Said(0, "", " !     App web1 has not been deployed\n")


@pytest.mark.parametrize(
    "image", ["FROM a\nRUN b", "-a", "a b", "http://x/y", "Org/a", "a:b:c", "../x", "$(reboot)"]
)
def test_image_names_that_are_refused(web1: Commands, image: str) -> None:
    words = ["--", image] if image.startswith("-") else [image]
    for command in ("git:from-image", "git:load-image"):
        said = web1(command, "web1", *words)
        assert said.code == 1 and said.err.startswith(" !     Invalid docker image: ") and said.err.count("\n") == 1
    assert [json.loads(line)["kind"] for line in web1("operations", "web1", "--format", "json").out.splitlines()] == [
        "apps:create"
    ]


def test_authors_that_are_refused(web1: Commands) -> None:
    for name, email in (("a<b", ""), ("a\nb", ""), ("a", "x>y"), ("a", "x\ny")):
        said = web1("git:from-image", "web1", "nginx", name, email)
        assert said.code == 1 and said.err.startswith(" !     Invalid author ") and said.err.count("\n") == 1


def test_setting_config(web1: Commands) -> None:
    said = web1("config:set", "--no-restart", "web1", "A=x y", "LONG=it's", "E=", "L=a=b")
    assert said == Said(0, "-----> Setting config vars\n       A:     x y\n       E:     \n       L:     a=b\n       LONG:  it's\n", "")
    assert web1("config:show", "web1").out == "=====> web1 env vars\nA:     x y\nE:     \nL:     a=b\nLONG:  it's\n"
    assert web1("config", "web1") == web1("config:show", "web1")
    assert web1("config:get", "web1", "A") == Said(0, "x y\n", "")
    assert web1("config:get", "web1", "LONG", "--quoted") == Said(0, "'it'\\''s'\n", "")
    assert web1("config:keys", "web1").out == "A\nE\nL\nLONG\n"
    assert web1("config:get", "web1", "NOPE") == web1("config:get", "web1", "no key") == Said(1, "", "")
    assert web1("config:show", "web1", "--format", "json").out == '{"A":"x y","E":"","L":"a=b","LONG":"it\'s"}\n'


def test_unsetting_config(web1: Commands) -> None:
    web1("config:set", "web1", "A=1", "B=2")
    said = web1("config:unset", "web1", "A", "NOTSET")
    assert said == Said(0, "-----> Unsetting A\n-----> Skipping NOTSET, it is not set in the environment\n", "")
    assert web1("config:keys", "web1").out == "B\n"


def test_values_in_base64(web1: Commands) -> None:
    assert web1("config:set", "--encoded", "web1", "K=YQpi").code == 0
    assert web1("config:get", "web1", "K").out == "a\nb\n"
    said = web1("config:set", "--encoded", "web1", "OK=YQ==", "K=?")
    assert said == refused(1, "The value for key 'K' is not base64. Nothing was changed")
    assert web1("config:keys", "web1").out == "K\n"


def test_global_config(web1: Commands) -> None:
    web1("config:set", "--global", "A=g", "B=g")
    web1("config:set", "web1", "A=own")
    assert web1("config:show", "--global").out == "=====> global env vars\nA:  g\nB:  g\n"
    assert web1("config:show", "web1", "--merged").out == "=====> web1 env vars\nA:  own\nB:  g\n"
    web1("config:unset", "--global", "B")
    assert web1("config:keys", "--global").out == "A\n"


def test_an_empty_environment(web1: Commands) -> None:
    assert web1("config:show", "web1").out == "=====> web1 env vars\n\n"


def test_config_values_are_in_no_record(web1: Commands, settings: Settings) -> None:
    web1("config:set", "web1", "PASSWORD=s3cr3t-s3cr3t")
    records = web1("operations", "web1", "--format", "json").out
    assert '"words":"PASSWORD=********"' in records and "s3cr3t" not in records
    files = [path for path in settings.root.rglob("*") if path.is_file()]
    assert [path for path in files if b"s3cr3t-s3cr3t" in path.read_bytes()] == []


def test_scaling_before_the_first_deploy(web1: Commands) -> None:
    assert web1("ps:scale", "web1").out == "-----> Scaling for web1\nproctype: qty\n--------: ---\nweb:  1\n"
    assert web1("ps:scale", "web1", "worker=2", "web=0").out == "-----> Scaling web1 processes: worker=2 web=0\n"
    assert web1("--quiet", "ps:scale", "web1").out == "web:  0\nworker: 2\n"
    assert web1("ps:scale", "web1", "--format", "json").out == (
        '[{"process_type":"web","quantity":0},{"process_type":"worker","quantity":2}]\n'
    )


def test_the_deploy_branch(web1: Commands) -> None:
    assert web1("git:set", "web1", "deploy-branch", "main") == Said(0, "=====> Setting deploy-branch to main\n", "")
    assert web1("git:report", "web1", "--git-deploy-branch").out == "main\n"
    assert web1("git:set", "web1", "deploy-branch").out == "=====> Unsetting deploy-branch\n"
    assert web1("git:set", "--global", "deploy-branch", "live").code == 0
    assert web1("git:report", "web1", "--git-computed-deploy-branch").out == "live\n"
    for name in ("a b", "../x", "a..b", "a\nb"):
        assert web1("git:set", "web1", "deploy-branch", name).err.startswith(" !     Invalid branch name: ")


def test_urls_and_status_of_an_app_without_commits(web1: Commands) -> None:
    assert web1("git:status", "web1").err == (
        " !     App web1 has no commits yet. Deploy an image with git:from-image, or push\n"
    )
    assert web1("releases", "web1", "--format", "json").out == "[]\n"


def test_renaming_to_what_is_no_name_or_taken(web1: Commands) -> None:
    web1("apps:create", "web2")
    assert web1("apps:rename", "web1", "Bad_Name").code == 1
    assert web1("apps:rename", "web1", "web2").err == " !     Name is already taken\n"
    assert web1("apps:rename", "web1").err == " !     Please specify an app to run the command on\n"
    assert web1("--quiet", "apps:list").out == "web1\nweb2\n"


def test_lock_stays_whose_it_was(web1: Commands) -> None:
    assert web1("apps:locked", "web1") == Said(1, "", " !     Deploy lock does not exist\n")
    assert web1("apps:lock", "web1") == web1("apps:lock", "web1") == Said(0, "-----> Deploy lock created\n", "")
    assert web1("apps:locked", "web1") == Said(0, "Deploy lock exists\n", "")
    refused = web1("ps:rebuild", "web1")
    assert refused.err == " !     App web1 has not been deployed\n"
    assert web1("apps:report", "web1", "--app-locked").out == "true\n"
    assert web1("apps:unlock", "web1") == Said(
        0,
        "-----> Deploy lock removed\n",
        " !     A deploy may be in progress.\n"
        " !     Removing the app lock will not stop in progress deploys.\n",
    )
    assert web1("apps:unlock", "web1") == Said(1, "", " !     Unable to remove deploy lock\n")


def test_a_clone_of_an_app_that_was_never_deployed(web1: Commands) -> None:
    web1("config:set", "web1", "A=1")
    web1("ps:set", "web1", "stop-timeout-seconds", "5")
    web1("ps:scale", "web1", "worker=3")
    web1("apps:lock", "web1")
    assert web1("apps:clone", "web1", "copy") == Said(0, "-----> Cloning web1 to copy\n", "")
    assert web1("config:export", "copy").out == "export A='1'\n"
    assert web1("ps:report", "copy", "--ps-stop-timeout-seconds").out == "5\n"
    assert web1("--quiet", "ps:scale", "copy").out == "web:  1\nworker: 3\n"
    assert web1("apps:locked", "copy").code == 1
    assert web1("apps:clone", "web1", "copy").code == 1
    assert web1("apps:clone", "--ignore-existing", "web1", "copy") == Said(0, "", " !     Name is already taken\n")
    assert web1("apps:clone", "web1", "Bad_Name").code == 1
    assert web1("apps:clone", "nope", "other").code == 20


def test_apps_report_and_set(web1: Commands) -> None:
    shown = web1("apps:report", "web1").out.splitlines()
    assert shown[0] == "=====> web1 app information"
    assert shown[2] == "       App deploy source:               "
    assert web1("apps:report", "--global").out == (
        "=====> --global app information\n       App global disable autocreation: \n"
    )
    assert web1("apps:set", "web1", "disable-autocreation", "true").err == (
        " !     Property can only be specified globally\n"
    )
    assert web1("apps:set", "--global", "deploy-source", "x").err == " !     Property cannot be specified globally\n"
    assert web1("apps:set", "web1", "nope", "x").err == (
        " !     Invalid property specified, valid properties include: deploy-source, deploy-source-metadata,"
        " disable-autocreation\n"
    )
