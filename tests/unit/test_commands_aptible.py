"""Aptible's commands: every refusal of its client, the acceptance list of its specs, --app and --environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.in_process import Commands, Said, engine_image

from paas.commands.aptible import service_kind, service_names
from paas.commands.base import begin
from paas.deploy import release
from paas.deploy.pipeline import Change, NewServices
from paas.deploy.release import Plan
from paas.deploy.session import Session
from paas.deploy.sources import direct
from paas.model.names import AppName, ProcessType
from paas.model.release import WEB, Manifest

DONE = Said(
    0, "-----> Deploying app...\n=====> Application deployed:\n       http://app.localhost:8080\n", ""
)
PASSWORD = "correct-horse"


def refused(line: str, code: int = 1) -> Said:
    return Said(code, "", f" !     {line}\n")


@dataclass
class Deploys:
    """`paas deploy --app app WORDS` up to where the engine would be needed; `changes` is what it asked for."""

    command: Commands
    changes: list[Change] = field(default_factory=list)

    def __call__(self, *words: str, stdin: str = "") -> Said:
        return self.command("deploy", "--app", "app", *words, stdin=stdin)

    @property
    def last(self) -> Change:
        return self.changes[-1]


@pytest.fixture
def deploys(paas_command: Commands, monkeypatch: pytest.MonkeyPatch) -> Deploys:
    paas_command("apps:create", "app", "--environment", "my-env")
    found = Deploys(paas_command)
    monkeypatch.setattr(direct, "deploy", lambda session, running, change: found.changes.append(change))
    return found


def image_of(change: Change) -> str | None:
    return change.source.image.text if change.source.image else None


def deployed(session: Session, processes: dict[str, str | None], implicit: bool = False) -> None:
    """Record a release of `app`, as if it ran."""
    app = session.apps.get("app")
    manifest = Manifest({ProcessType(kind): line for kind, line in processes.items()}, implicit=implicit)
    operation = session.operations.start(app, "deploy", "", session.caller)
    plan = Plan("Deploy", engine_image(), "tag", "image", None, {}, manifest)
    record = release.create(session, app, plan, operation.id, session.releases.next_number(app))
    session.releases.commit(app, record, [], dict.fromkeys(manifest.processes, 1), {}, [])
    session.operations.finish(operation.id, "succeeded")


@pytest.fixture
def app(session: Session) -> Session:
    """A session with the app `app`."""
    session.apps.create(AppName("app"))
    return session


# reference/aptible.md 10, in its order.


def test_bare_deploy_takes_the_stored_image(deploys: Deploys) -> None:
    deploys("--docker-image", "quay.io/o/app:1")
    deploys.command("config:set", "app", "APTIBLE_DOCKER_IMAGE=quay.io/o/app:1")
    assert deploys() == DONE
    assert image_of(deploys.last) == "quay.io/o/app:1"


def test_an_unknown_git_reference(deploys: Deploys) -> None:
    assert deploys("--git-commitish", "foobar") == refused(
        "app's repository has no branch, tag or commit foobar. Nothing was changed. Push it first, for example:"
        " git push <remote> HEAD:foobar"
    )
    assert deploys.changes == []


def test_image_becomes_the_stored_one(deploys: Deploys) -> None:
    assert deploys("--docker-image", "foobar") == DONE
    assert image_of(deploys.last) == "foobar"
    assert deploys.last.config == {"APTIBLE_DOCKER_IMAGE": "foobar"}
    assert deploys.last.source.commit is None


def test_username_and_password_are_kept_and_the_email_is_not(deploys: Deploys) -> None:
    words = (
        "--docker-image",
        "x",
        "--private-registry-username",
        "u",
        "--private-registry-password",
        PASSWORD,
    )
    assert deploys(*words, "--private-registry-email", "a@b.c") == DONE
    assert deploys.last.config == {
        "APTIBLE_DOCKER_IMAGE": "x",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME": "u",
        "APTIBLE_PRIVATE_REGISTRY_PASSWORD": PASSWORD,
    }


def test_detached_without_an_image_is_nothing_to_deploy(deploys: Deploys) -> None:
    assert deploys("--git-detach") == refused("You need to deploy either from git or a Docker image")
    assert deploys("--git-detach", "--docker-image", "x") == DONE
    assert deploys("--no-git-detach", "--docker-image", "x") == DONE


def test_detach_and_commitish_exclude_each_other(deploys: Deploys) -> None:
    assert deploys("--git-detach", "--git-commitish", "master", "--docker-image", "x") == refused(
        "The options --git-commitish and --git-detach are incompatible"
    )


def test_variables_beside_the_image(deploys: Deploys) -> None:
    assert deploys("--docker-image", "x", "FOO=bar", "BAR=qux") == DONE
    assert deploys.last.config == {"APTIBLE_DOCKER_IMAGE": "x", "FOO": "bar", "BAR": "qux"}


def test_an_empty_value_unsets(deploys: Deploys) -> None:
    deploys.command("config:set", "app", "FOO=1", "KEPT=2")
    assert deploys("--docker-image", "x", "FOO=") == DONE
    assert deploys.last.config == {"APTIBLE_DOCKER_IMAGE": "x", "KEPT": "2"}


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--aptible-docker-image=bar", "--aptible-docker-image=bar"),
        ("--no-such-flag", "--no-such-flag"),
        ("-foo=bar", "-foo"),
        ("foobar", "foobar"),
        ("=value", "=value"),
        ("two words", "two words"),
        ("a\x1bb", "a\\x1bb"),
    ],
)
def test_words_that_are_no_variables(deploys: Deploys, word: str, shown: str) -> None:
    assert deploys("--docker-image", "x", word) == refused(f"Invalid argument: {shown}")
    assert deploys.changes == []


@pytest.mark.parametrize(
    ("option", "variable"),
    [
        ("--docker-image", "APTIBLE_DOCKER_IMAGE"),
        ("--private-registry-username", "APTIBLE_PRIVATE_REGISTRY_USERNAME"),
        ("--private-registry-password", "APTIBLE_PRIVATE_REGISTRY_PASSWORD"),
    ],
)
def test_option_and_variable_have_to_agree(deploys: Deploys, option: str, variable: str) -> None:
    words = ("APTIBLE_DOCKER_IMAGE=foobar", "APTIBLE_PRIVATE_REGISTRY_USERNAME=foobar")
    words += ("APTIBLE_PRIVATE_REGISTRY_PASSWORD=foobar",)
    assert deploys(*words, option, "foobar") == DONE
    assert deploys(*words, option, "qux") == refused(
        f"The options {option} and {variable} cannot be set to different values"
    )


def test_nothing_to_deploy(deploys: Deploys) -> None:
    nothing = refused("You need to deploy either from git or a Docker image")
    for words in (
        (),
        ("FOO=1",),
        ("--docker-image", ""),
        ("--git-commitish", ""),
        ("--container-count", "2"),
    ):
        assert deploys(*words) == nothing, words
    assert deploys.command("config", "--app", "app") == Said(0, "", "")


def test_counts_sizes_and_profiles(deploys: Deploys) -> None:
    sizes = ("--container-count", "2", "--container-size", "1024", "--container-profile", "m5")
    assert deploys("--docker-image", "x", *sizes) == DONE
    assert deploys.last.new_services == NewServices(2, 1, 1024)
    assert deploys("--docker-image", "x") == DONE
    assert deploys.last.new_services == NewServices(None, 1, None)
    assert deploys("--docker-image", "x", "--container-count", "0") == DONE
    assert deploys.last.new_services == NewServices(0, 1, None)


@pytest.mark.parametrize("given", ["-1", "1.5", "many", "1001", "²", "1e3"])
def test_counts_that_are_refused(deploys: Deploys, given: str) -> None:
    assert deploys("--docker-image", "x", "--container-count", given) == refused(
        f"Invalid container count: {given}. Give a number from 0 to 1000. Nothing was changed"
    )


@pytest.mark.parametrize("given", ["-1", "15", "1048577", "1G", "²", "1_000"])
def test_sizes_that_are_refused(deploys: Deploys, given: str) -> None:
    assert deploys("--docker-image", "x", "--container-size", given) == refused(
        f"Invalid container size: {given}. Give megabytes, from 16 to 1048576. Nothing was changed"
    )


def test_config_words_that_are_refused(deploys: Deploys) -> None:
    for name in ("config:set", "config:add", "config:unset", "config:rm"):
        assert deploys.command(name, "--app", "app", "-foo") == refused("Invalid argument: -foo")
    assert deploys.command("config:set", "--app", "app", "-foo=bar") == refused("Invalid argument: -foo")
    assert deploys.command("config:set", "--app", "app", "foobar") == refused("Invalid argument: foobar")
    # Dokku's way keeps Dokku's answers.
    assert deploys.command("config:set", "app", "foobar") == refused("Invalid env pair: foobar")
    assert deploys.command("config:set", "app", "--nope") == refused("No such option: --nope", 2)


def test_unset_ignores_what_follows_the_name(deploys: Deploys) -> None:
    deploys.command("config:set", "--app", "app", "FOO=1", "BAR=2")
    assert deploys.command("config:unset", "--app", "app", "FOO=whoops").out == "-----> Unsetting FOO\n"
    assert deploys.command("config:rm", "--app", "app", "BAR").out == "-----> Unsetting BAR\n"
    assert deploys.command("config", "--app", "app") == Said(0, "", "")


def test_config_as_a_shell_reads_it(deploys: Deploys) -> None:
    deploys.command(
        "config:set", "--app", "app", "QUX=two words", "EMPTY=", "URL=http://a/b?c=1&d", "LINES=a\nb"
    )
    assert deploys.command("config", "--app", "app").out == (
        "LINES=a'\n'b\nQUX=two\\ words\nURL=http://a/b\\?c\\=1\\&d\n"
    )
    assert '{"key":"QUX","value":"two words","shell_export":"QUX=two\\\\ words"}' in (
        deploys.command("config", "--app", "app", "--format", "json").out
    )
    assert deploys.command("config:get", "--app", "app", "QUX") == Said(0, "two words\n", "")
    assert deploys.command("config:get", "--app", "app", "NOPE") == Said(0, "\n", "")
    assert deploys.command("config:get", "app", "NOPE") == Said(1, "", "")


# reference/aptible.md 1.3 and 1.4, and what the server adds.


def test_repeated_variables_and_equals_signs(deploys: Deploys) -> None:
    assert deploys("--docker-image", "x", "A=1", "A=b=c d\ne", "B==") == DONE
    assert deploys.last.config == {"APTIBLE_DOCKER_IMAGE": "x", "A": "b=c d\ne", "B": "="}


def test_keys_that_are_no_variables(deploys: Deploys) -> None:
    assert deploys("--docker-image", "x", "é=1") == refused("Invalid key name: 'é'")
    assert deploys("--docker-image", "x", "1A=1") == refused("Invalid key name: '1A'")


def test_images_that_are_refused(deploys: Deploys) -> None:
    assert deploys("--docker-image", "UPPER//x") == refused(
        "Invalid docker image: UPPER//x. Give it as docker pull takes it, for example registry.example.com/team/app:1.2"
    )
    assert deploys("APTIBLE_DOCKER_IMAGE=-v") == refused(
        "Invalid docker image: -v. Give it as docker pull takes it, for example registry.example.com/team/app:1.2"
    )


def test_references_are_never_options_of_git(deploys: Deploys) -> None:
    assert deploys("--docker-image", "x", "--git-commitish", "--upload-pack=x").code == 1
    assert deploys.changes == []


@pytest.mark.parametrize(
    "given",
    [
        ("--private-registry-username", "u"),
        ("APTIBLE_PRIVATE_REGISTRY_USERNAME=u",),
        ("--private-registry-username", "u", "--private-registry-password", ""),
    ],
)
def test_a_username_without_a_password(deploys: Deploys, given: tuple[str, ...]) -> None:
    assert deploys("--docker-image", "x", *given) == refused(
        "The private registry's username is set without its password. Nothing was changed. Give both, or unset both"
        " with empty values"
    )


def test_a_password_without_a_username(deploys: Deploys) -> None:
    wrong = refused(
        "The private registry's password is set without its username. Nothing was changed. Give both, or unset both"
        " with empty values"
    )
    assert deploys("--docker-image", "x", "--private-registry-password", PASSWORD) == wrong
    said = deploys.command("config:set", "--app", "app", f"APTIBLE_PRIVATE_REGISTRY_PASSWORD={PASSWORD}")
    assert (said.code, said.err) == (wrong.code, wrong.err)
    assert PASSWORD not in said.out
    assert deploys.command("config:keys", "app").out == ""


def test_empty_credentials_unset_the_stored_ones(deploys: Deploys) -> None:
    deploys.command(
        "config:set",
        "app",
        "APTIBLE_PRIVATE_REGISTRY_USERNAME=u",
        f"APTIBLE_PRIVATE_REGISTRY_PASSWORD={PASSWORD}",
    )
    empty = ("--private-registry-username", "", "--private-registry-password", "")
    assert deploys("--docker-image", "x", *empty) == DONE
    assert deploys.last.config == {"APTIBLE_DOCKER_IMAGE": "x"}
    # Also by the variables, as the seed says it.
    deploys.command(
        "config:set", "app", "APTIBLE_PRIVATE_REGISTRY_USERNAME=", "APTIBLE_PRIVATE_REGISTRY_PASSWORD="
    )
    assert deploys.command("config:keys", "app").out == ""


@pytest.mark.parametrize("sent", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n"])
def test_a_password_from_standard_input(deploys: Deploys, sent: str) -> None:
    words = ("--docker-image", "x", "--private-registry-username", "u", "--private-registry-password", "-")
    assert deploys(*words, stdin=sent) == DONE
    assert deploys.last.config["APTIBLE_PRIVATE_REGISTRY_PASSWORD"] == PASSWORD


def test_no_password_on_standard_input(deploys: Deploys) -> None:
    words = ("--docker-image", "x", "--private-registry-username", "u", "--private-registry-password", "-")
    assert deploys(*words).err.startswith(
        " !     The private registry's username is set without its password."
    )


def test_the_record_has_no_values(deploys: Deploys) -> None:
    words = (
        "--docker-image",
        "x",
        "--private-registry-username",
        "u",
        "--private-registry-password",
        PASSWORD,
    )
    deploys(*words, "KEY=hidden-value")
    deploys("--docker-image", "x")
    deploys("APTIBLE_DOCKER_IMAGE=x")
    shown = deploys.command("operations", "app", "--format", "json").out
    assert PASSWORD not in shown
    assert "hidden-value" not in shown
    assert (
        '"words":"--docker-image x KEY=******** APTIBLE_PRIVATE_REGISTRY_USERNAME=********'
        ' APTIBLE_PRIVATE_REGISTRY_PASSWORD=********"'
    ) in shown
    assert '"words":"APTIBLE_DOCKER_IMAGE=********"' in shown


def test_the_app_is_found_as_aptible_finds_it(deploys: Deploys) -> None:
    command = deploys.command
    assert command("deploy", "--docker-image", "x") == refused("Please specify an app to run the command on")
    assert command("deploy", "--app", "nope", "--docker-image", "x") == refused("App nope does not exist", 20)
    assert command("deploy", "--app", "app", "--environment", "nope", "--docker-image", "x") == refused(
        "Could not find environment nope (options provided via CLI arguments)"
    )
    command("apps:create", "other")
    assert command("deploy", "--app", "other", "--env", "my-env", "--docker-image", "x") == refused(
        "Could not find app other in environment my-env (options provided via CLI arguments)", 20
    )
    assert command("deploy", "--app=app", "--env=my-env", "--docker-image", "x") == DONE
    assert command("deploy", "app", "--docker-image", "x") == DONE


def test_apps_of_an_environment(deploys: Deploys) -> None:
    command = deploys.command
    assert command("apps:create", "second", "--environment", "my-env") == Said(
        0, "Git Remote: paas@localhost:my-env/second.git\n", "App second created!\n"
    )
    command("apps:create", "third")
    assert command("--quiet", "apps", "--environment", "my-env").out == "app\nsecond\n"
    assert command("--quiet", "apps", "--environment", "default").out == "third\n"
    assert command("--quiet", "apps").out == "app\nsecond\nthird\n"
    assert command("apps", "--environment", "nope") == refused("Specified account does not exist")
    assert command("apps:create", "fourth", "--environment", "Bad Env").code == 1
    assert "fourth" not in command("apps").out


def test_commands_of_an_app_that_was_never_deployed(deploys: Deploys) -> None:
    command = deploys.command
    unknown = refused(
        "Service with type web does not exist for app app. Valid types: NONE (deploy the app first)."
    )
    assert command("apps:scale", "web", "--app", "app", "--container-count", "1") == unknown
    assert command("services:settings", "web", "--app", "app", "--stop-timeout", "10") == unknown
    assert command("services", "--app", "app") == Said(0, "", "")
    assert command("services", "--app", "app", "--format", "json") == Said(0, "[]\n", "")
    not_deployed = refused("App app has not been deployed")
    assert command("ssh", "--app", "app", "ls") == not_deployed
    assert command("restart", "--app", "app") == not_deployed
    assert command("rebuild", "--app", "app").err == not_deployed.err
    assert command("ps:rebuild", "app") == Said(0, "", not_deployed.err)


def test_scaling_needs_to_say_what(deploys: Deploys) -> None:
    command = deploys.command
    assert command("apps:scale", "web", "--app", "app") == refused(
        "Provide at least --container-count, --container-size, or --container-profile"
    )
    assert command("apps:scale", "web", "--app", "app", "--container-profile", "m") == Said(
        0, "", " !     --container-profile has no effect here; nothing was changed\n"
    )


def test_services_of_a_procfile(app: Session) -> None:
    begin(app)
    deployed(app, {"web": "serve", "worker": "work"})
    found = app.apps.get("app")
    assert service_names(found) == ["web", "worker"]
    assert service_kind(found, "worker") == "worker"
    with pytest.raises(
        Exception, match=r"^Service with type cmd does not exist for app app. Valid types: web, worker\.$"
    ):
        service_kind(found, "cmd")


def test_without_a_procfile_cmd_and_web_are_one(app: Session) -> None:
    begin(app)
    deployed(app, {"web": None}, implicit=True)
    found = app.apps.get("app")
    assert service_names(found) == ["cmd"]
    assert service_kind(found, "cmd") == service_kind(found, "web") == WEB
    with pytest.raises(
        Exception, match=r"^Service with type worker does not exist for app app. Valid types: cmd\.$"
    ):
        service_kind(found, "worker")


def test_settings_of_a_service(app: Session, paas_command: Commands) -> None:
    deployed(app, {"web": "serve", "worker": "work"})
    words = ("services:settings", "worker", "--app", "app")
    assert (
        paas_command(*words, "--force-zero-downtime", "--simple-health-check", "--stop-timeout", "900").code
        == 0
    )
    assert "Stop Timeout: 900\nForce Zero Downtime: True\n" in paas_command("services", "--app", "app").out
    assert paas_command(*words, "--no-force-zero-downtime").code == 0
    assert "Stop Timeout: 900\nForce Zero Downtime: False\n" in paas_command("services", "--app", "app").out
    for given in ("901", "-1", "soon"):
        assert paas_command(*words, "--stop-timeout", given) == refused(
            f"Invalid stop timeout: {given}. Give seconds, from 0 to 900. Nothing was changed"
        )


def test_every_test_that_the_document_names_exists() -> None:
    tests = Path(__file__).parent.parent
    page = (tests.parent / "docs/aptible.md").read_text()
    _, _, table = page.partition("## Sentence by sentence")
    named = re.findall(r"`((?:unit|host|engine|transcripts)/[^`]+)`", table)
    assert len(named) > 40
    for name in named:
        file, _, function = name.partition("::")
        assert (tests / file).is_file(), name
        assert not function or f"def {function}(" in (tests / file).read_text(), name
    rows = [row for row in table.splitlines() if row.startswith("| ") and not row.startswith("| they say")]
    for row in rows:
        _, _, here, shown, _ = (cell.strip() for cell in row.split("|"))
        assert shown or here.startswith("not "), row
