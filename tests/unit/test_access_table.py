"""Every command against every role, through the gate that runs in front of it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from typer.core import TyperCommand

from paas import cli
from paas.deploy.session import Session
from paas.errors import NO_SUCH_APP, REFUSED
from paas.model.access import Role
from paas.model.caller import Caller
from paas.model.names import AppName, SshKeyName
from paas.settings import Settings
from paas.store.access import Access, Refusals
from paas.store.keys import Keys

# With the plugins that came with paas.
cli.refresh(None)
ROLES = (Role.VIEW, Role.DEPLOY, Role.MANAGE)
MINE, OTHER, MISSING = "mine", "other", "missing"
REACHED = 77

ANYONE, VIEW, DEPLOY, MANAGE, ADMIN = Role.ANYONE, Role.VIEW, Role.DEPLOY, Role.MANAGE, Role.ADMIN

# The least role for each command about an app, and what makes it an administrator's (or, with a role, more).
# The rest of the words are what the parser takes.
APP_COMMANDS: dict[Role, str] = {
    VIEW: """
        apps:exists apps:locked builds:info builds:output config:keys cron:list git:status logs logs:failed metrics
        operations ports:list releases report run:list run:logs services storage:list url urls builds:list
        redirect redirect:list
    """,
    DEPLOY: """
        apps:lock apps:scale apps:unlock builds:cancel checks:run cron:resume cron:run cron:suspend deploy git:from-archive
        git:from-image git:initialize git:layers git:load-image git:unlock proxy:build-config proxy:clear-config ps:rebuild
        ps:restart ps:restore ps:retire ps:scale ps:start ps:stop rebuild releases:rollback repo:gc repo:purge-cache
        restart run:retire
    """,
    MANAGE: """
        app-json:set apps:deprovision apps:destroy apps:set builder-dockerfile:set builder:set builds:prune builds:set
        certs:add certs:auto certs:generate certs:remove certs:renew certs:set certs:show certs:update checks:disable
        checks:enable checks:set checks:skip config:add config:bare config:bundle config:clear config:export config:get
        config:import config:rm config:set config:show config:unset cron:set docker-options:list domains:add domains:clear
        domains:disable domains:enable domains:remove domains:reset domains:set domains:setup enter git:set logs:set
        ports:add ports:clear ports:remove ports:set proxy:disable proxy:enable proxy:set ps:inspect ps:set registry:login
        registry:logout releases:set resource:limit resource:limit-clear resource:reserve resource:reserve-clear run
        http-auth:add-user http-auth:disable http-auth:enable http-auth:list http-auth:off http-auth:on
        http-auth:remove-user maintenance:custom-page maintenance:disable maintenance:enable maintenance:off maintenance:on
        redirect:set redirect:unset run:detached run:stop scheduler-docker-local:set scheduler:set services:settings ssh
    """,
}
REPORTS: dict[Role, str] = {
    VIEW: """
        app-json:report apps:report builder-dockerfile:report builder:report builds:report certs:report checks:report
        cron:report domains:report git:report http-auth:report maintenance:report redirect:report logs:report network:report ports:report proxy:report ps:report
        registry:report releases:report resource:report scheduler-docker-local:report scheduler:report storage:report
    """,
    MANAGE: "docker-options:report",
}
NO_APP: dict[Role, str] = {
    ANYONE: "access:list git-lfs-authenticate git-lfs-transfer help version",
    VIEW: "apps:list events events:list",
}
OPERATIONS: dict[Role, str] = {VIEW: "operation:follow operation:logs operation:steps", DEPLOY: "operation:cancel"}
REPOSITORIES: dict[Role, str] = {VIEW: "git-upload-pack", DEPLOY: "git-receive-pack"}
ADMINS = """
    access:grant access:revoke apps:clone apps:create apps:rename cleanup disk:report disk:set docker-options:add
    docker-options:clear docker-options:remove domains:add-global domains:clear-global domains:remove-global
    domains:set-global events:off events:on git:allow-host git:auth git:auth-status git:generate-deploy-key git:public-key git:sync
    network:create network:destroy network:exists network:info network:list network:rebuild network:rebuildall network:set
    plugin:disable plugin:enable plugin:install plugin:installed plugin:list plugin:uninstall plugin:update registry:set ssh-keys:add ssh-keys:list ssh-keys:remove storage:create storage:destroy
    storage:ensure-directory storage:exec storage:info storage:list-entries storage:mount storage:set storage:unmount
    backup:create backup:restore backup:verify doctor ssh-keys:sync trace:off trace:on
"""
HOOK = "git-hook"  # its own test below

# Arguments that take more than the command does.
MORE = {
    "builds:prune --all-apps": ADMIN,
    "certs:add mine /etc/passwd": ADMIN,
    "certs:add mine cert key": ADMIN,
    "certs:update mine cert key": ADMIN,
    "config:get --global KEY": ADMIN,
    "config:set --global KEY=value": ADMIN,
    "config:set mine KEY=value --global": ADMIN,
    "config:show --global": ADMIN,
    "config:import --global": ADMIN,
    "deploy mine --docker-image nginx": DEPLOY,
    "deploy mine --docker-image nginx KEY=value": MANAGE,
    "deploy mine --private-registry-username user": MANAGE,
    "deploy mine --private-registry-password secret": MANAGE,
    "git:from-image mine nginx --build-dir /etc": ADMIN,
    "git:from-image --build-dir=/etc mine nginx": ADMIN,
    "git:load-image mine nginx --build-dir /etc": ADMIN,
    "git:from-archive mine --": DEPLOY,
    "git:from-archive mine http://127.0.0.1/x.tar": ADMIN,
    "git:from-archive --archive-type zip mine https://example.com/x.zip": ADMIN,
    "git:set --global deploy-branch main": ADMIN,
    "ports:report --global": ADMIN,
    "ports:report mine --global": ADMIN,
    "storage:report --global": ADMIN,
    "registry:login --global server user password": ADMIN,
    "registry:login mine server user password": MANAGE,
    "run:logs --container mine.run.1": ADMIN,
    "run:stop --container mine.run.1": ADMIN,
    "ps:restart --all": DEPLOY,
    "ps:restart --all web": DEPLOY,
    "domains:clear --all": MANAGE,
    "logs:failed --all": VIEW,
    "ports:report": VIEW,
    "operations": VIEW,
    "metrics": VIEW,
    "report --all": VIEW,
    "run mine echo --global": MANAGE,
    "config:set mine -- --global": MANAGE,
    "--app mine config:set KEY=value": MANAGE,
    "logs --num 5 mine": VIEW,
}


def words_of(table: dict[Role, str]) -> Iterator[tuple[str, Role]]:
    for role, names in table.items():
        for name in names.split():
            yield name, role


@pytest.fixture
def operation(session: Session) -> int:
    """The number of an operation on the app of the limited keys; the next one is another app's, the third nobody's."""
    mine, other = (session.apps.create(AppName(name)) for name in (MINE, OTHER))
    numbers = [session.operations.start(app, "x", "", session.caller).id for app in (mine, other, None)]
    return numbers[0]


@pytest.fixture
def keys(session: Session, operation: int) -> dict[Role, Caller]:
    """A caller for each role on `mine`, for nothing at all (ANYONE) and for an administrator."""
    store, access = Keys(session.database), Access(session.database)
    app = session.apps.get(MINE)
    found = {}
    for letter, role in zip("abcde", Role, strict=True):
        parts = (b"ssh-ed25519", letter.encode() * 32)
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        text = f"ssh-ed25519 {base64.b64encode(blob).decode()}"
        key = store.add(SshKeyName(str(role)), text, admin=role == ADMIN)
        if role in ROLES:
            access.grant(key, role, app)
        found[role] = Caller(key.name, "ssh", key.id)
    return found


class Gate:
    """Runs command lines; a command that is let through ends with REACHED before its own code runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd
        # What the gate hands over to, once it has let a command through.
        monkeypatch.setattr(TyperCommand, "invoke", lambda _self, _context: REACHED, raising=False)

    def __call__(self, line: str, caller: Caller) -> tuple[int, str]:
        """Exit code and what was said on standard error."""
        self.capfd.readouterr()
        code = cli.main(line.split(), caller)
        return code, self.capfd.readouterr().err


@pytest.fixture
def gate(settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Gate:
    monkeypatch.setenv("PAAS_ROOT", str(settings.root))
    return Gate(monkeypatch, capfd)


def test_the_table_has_every_command() -> None:
    cli.refresh(None)
    tables = (APP_COMMANDS, REPORTS, NO_APP, OPERATIONS, REPOSITORIES)
    named = [name for table in tables for name, _ in words_of(table)] + ADMINS.split() + [HOOK]
    helps = {name for name in cli.commands() if name.endswith(":help")}
    assert len(named) == len(set(named))
    # Without `needs` a command is the administrators': name it in ADMINS then.
    assert set(named) == set(cli.commands()) - helps, "name the command in the tables above"


def check(gate: Gate, keys: dict[Role, Caller], line: str, least: Role) -> None:
    """`line` is about `mine`, or about no app: just the roles from `least` on get through."""
    for role, caller in keys.items():
        code, said = gate(line, caller)
        if role >= least or (least == VIEW and not {MINE, f"/{MINE}.git"} & set(line.split()) and "operation:" not in line):
            assert code == REACHED, (line, role, said)
        else:
            assert code in (REFUSED, NO_SUCH_APP) and said.startswith(" !     "), (line, role, code, said)
    assert gate(line, Caller("root", "host"))[0] == REACHED


@pytest.mark.parametrize(("name", "least"), [*words_of(APP_COMMANDS), *words_of(REPORTS)])
def test_a_command_about_an_app(
    gate: Gate, keys: dict[Role, Caller], settings: Settings, name: str, least: Role
) -> None:
    check(gate, keys, f"{name} {MINE}", least)
    check(gate, keys, f"{name} --app {MINE}", least)
    # What can't be seen does not exist: the same words as for what is not there, whatever the command.
    for caller in (keys[role] for role in Role if role != ADMIN):
        for app in (OTHER, MISSING):
            assert gate(f"{name} {app}", caller) == (NO_SUCH_APP, f" !     App {app} does not exist\n"), (name, caller)
    for app in (OTHER, MISSING):
        assert gate(f"{name} {app}", keys[ADMIN])[0] == REACHED


@pytest.mark.parametrize(("name", "least"), [*words_of(NO_APP)])
def test_a_command_about_no_app(gate: Gate, keys: dict[Role, Caller], name: str, least: Role) -> None:
    check(gate, keys, f"{name} x" if "lfs" in name else name, least)


@pytest.mark.parametrize("name", [name for name in cli.commands() if name.endswith(":help")])
def test_help_is_for_everybody(gate: Gate, keys: dict[Role, Caller], name: str) -> None:
    check(gate, keys, name, ANYONE)


@pytest.mark.parametrize(("name", "least"), [*words_of(OPERATIONS)])
def test_operations(gate: Gate, keys: dict[Role, Caller], operation: int, name: str, least: Role) -> None:
    check(gate, keys, f"{name} {operation}", least)
    check(gate, keys, f"{name} #{operation}", least)
    for number in (operation + 1, operation + 2, 1000):
        for caller in (keys[role] for role in Role if role != ADMIN):
            text = f" !     Operation #{number} not found. See the list with operations\n"
            assert gate(f"{name} {number}", caller) == (REFUSED, text)


@pytest.mark.parametrize(("name", "least"), [*words_of(REPOSITORIES)])
def test_git(gate: Gate, keys: dict[Role, Caller], name: str, least: Role) -> None:
    for path in (MINE, f"/{MINE}.git", f"anything/{MINE}.git"):
        for role, caller in keys.items():
            code, said = gate(f"{name} {path}", caller)
            assert (code == REACHED) == (role >= least), (path, role, said)
        for caller in (keys[role] for role in Role if role != ADMIN):
            for app in (OTHER, MISSING):
                said = gate(f"{name} {path.replace(MINE, app)}", caller)
                assert said == (NO_SUCH_APP, f" !     App {app} does not exist\n")


@pytest.mark.parametrize("name", ADMINS.split())
def test_the_administrators_commands(gate: Gate, keys: dict[Role, Caller], name: str) -> None:
    words = {"network:create": "net", "storage:create": "x"}.get(name, "")
    for line in (name, f"{name} {MINE}", f"{name} {OTHER}", f"{name} {MISSING}"):
        if len(line.split()) > 1 and not any(p.param_type_name == "argument" for p in cli.parser(name).params):
            continue
        check(gate, keys, line, ADMIN)
        for role in ROLES:
            text = f" !     {name} is for administrators' keys, which {role} is not. Nothing was changed\n"
            assert gate(f"{line} {words}".strip() if line == name else line, keys[role]) == (REFUSED, text)


def test_the_hook_is_for_git_only(gate: Gate, keys: dict[Role, Caller]) -> None:
    for role, caller in keys.items():
        in_hook = Caller(caller.name, "hook", caller.key_id)
        assert (gate(f"{HOOK} {MINE}", in_hook)[0] == REACHED) == (role >= DEPLOY)
        assert (gate(f"{HOOK} {OTHER}", in_hook)[0] == REACHED) == (role == ADMIN)
        assert (gate(f"{HOOK} {MINE}", caller)[0] == REACHED) == (role == ADMIN)


@pytest.mark.parametrize(("line", "least"), MORE.items())
def test_arguments_that_take_more(gate: Gate, keys: dict[Role, Caller], line: str, least: Role) -> None:
    for role, caller in keys.items():
        if role == ANYONE:
            continue
        code, said = gate(line, caller)
        about_all = MINE not in line
        assert (code == REACHED) == (role >= least or (about_all and least != ADMIN)), (line, role, said)


def test_no_app_where_one_is_needed(gate: Gate, keys: dict[Role, Caller]) -> None:
    for name in ("logs", "ps:scale", "config:set", "apps:destroy"):
        assert gate(name, keys[MANAGE]) == (REFUSED, " !     Please specify an app to run the command on\n")


def test_a_key_that_is_gone_may_do_nothing(gate: Gate, keys: dict[Role, Caller], session: Session) -> None:
    for role in (MANAGE, ADMIN):
        caller = keys[role]
        key = Keys(session.database).by_name(caller.name)
        assert key is not None
        Keys(session.database).remove(key)
        assert gate(f"logs {MINE}", caller)[0] == NO_SUCH_APP
        assert gate("apps:create x", caller)[0] == REFUSED


def test_a_flood_of_refusals_is_one_row(gate: Gate, keys: dict[Role, Caller], session: Session) -> None:
    for number in range(30):
        gate(f"logs app{number}", keys[VIEW])
        gate(f"git:auth host user secret{number}", keys[VIEW])
    found = {item.kind: item for item in Refusals(session.database).since()}
    assert set(found) == {"logs", "git:auth"}
    assert (found["logs"].count, found["logs"].app_name, found["logs"].caller) == (30, "app29", "view")
    assert found["logs"].message == "App app29 does not exist" and found["logs"].first_at < found["logs"].last_at
    assert b"secret" not in session.settings.database_path.read_bytes()
