"""Procfile and .aptible.yml, with what the image says itself."""

from __future__ import annotations

import dataclasses
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_process import engine_image

from paas.console import Console
from paas.deploy.files.manifest import (
    InvalidAptibleYml,
    InvalidProcfile,
    NothingToRun,
    Paths,
    parse,
    parse_aptible_yml,
    parse_procfile,
    pick,
)
from paas.errors import PaasError
from paas.model.release import WEB, Manifest, PhaseCommand

IMAGE = engine_image()


@pytest.fixture
def console() -> Console:
    return Console(io.StringIO(), io.StringIO())


def warnings(console: Console) -> str:
    return console.err.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_procfile() -> None:
    text = b"""\xef\xbb\xbf# what runs
// also a comment
web: gunicorn app:app --bind 0.0.0.0:$PORT   # the site

  worker:python worker.py
release: curl http://x//y#z && echo '#kept'
clock-1_a:\tx\r
"""
    assert parse_procfile(text) == {
        "web": "gunicorn app:app --bind 0.0.0.0:$PORT",
        "worker": "python worker.py",
        "release": "curl http://x//y#z && echo '#kept'",
        "clock-1_a": "x",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"web: a\n\nworker b\n", "line 3: expected `type: command`, found `worker b`"),
        (b"web:\n", "line 1: web has no command"),
        (b"#\nweb:   # nothing\n", "line 2: web has no command"),
        (b"web: a\nworker: b\nweb: c\n", "line 3: web stands there twice"),
        (b"we b: a", "line 1: expected"),
        (b"web.1: a", "line 1: expected"),
        (b": a", "line 1: expected"),
        (b"x" * 64 + b": a", "line 1: expected"),
        (b"web: a\r\nworker: b\r\n\xff\xfe: c", "line 3: it is not UTF-8 text"),
        (b"web: a\n\x1b[31mred\n", r"line 2: expected `type: command`, found `\x1b[31mred`"),
        (b"web: a\x0cb\nbad\n", "line 2: expected"),
        (b"web: a\0b\n", "line 1: web has a NUL byte in its command"),
        (b"-web: a\n", "line 1: expected"),
    ],
)
def test_a_mistake_in_a_procfile_is_told_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(InvalidProcfile) as caught:
        parse_procfile(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith("Invalid Procfile: line ") and len(caught.value.lines) == 1


@given(st.binary(max_size=60) | st.text(alphabet="web: #/\n\r\x0c\u2028\0ü", max_size=30).map(str.encode))
def test_any_procfile_is_read_or_refused(data: bytes) -> None:
    try:
        found = parse_procfile(data)
    except PaasError as error:
        assert len(error.lines) == 1
        return
    for command in found.values():
        assert command and "\n" not in command and "\0" not in command


def test_an_aptible_yml(console: Console) -> None:
    text = b"before_deploy:\n  - rake db:migrate\n  - ''\n  - echo done\nafter_deploy_success:\n  - echo ok\n"
    assert parse_aptible_yml(text, console) == (
        [
            PhaseCommand("before_deploy", ".aptible.yml", "rake db:migrate"),
            PhaseCommand("before_deploy", ".aptible.yml", "echo done"),
        ],
        {"after_deploy_success": ("echo ok",)},
    )
    assert warnings(console) == ""


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"---\n", b"before_release:\n", b"before_release: []\n"])
def test_an_aptible_yml_that_says_nothing(console: Console, text: bytes) -> None:
    assert parse_aptible_yml(text, console) == ([], {})


def test_the_old_name_of_before_deploy(console: Console) -> None:
    before, _ = parse_aptible_yml(b"before_release: one command", console)
    assert before == [PhaseCommand("before_release", ".aptible.yml", "one command")]
    assert warnings(console) == ""
    both, _ = parse_aptible_yml(b"before_release: [old]\nbefore_deploy: [new]", console)
    assert [item.command for item in both] == ["new"]
    assert "only before_deploy is used" in warnings(console)


def test_an_unknown_key_is_warned_about(console: Console) -> None:
    assert parse_aptible_yml(b"before_relaese: [x]\n1: y\n", console) == ([], {})
    assert warnings(console).splitlines() == [
        " !     .aptible.yml: the key before_relaese is unknown and ignored",
        " !     .aptible.yml: the key 1 is unknown and ignored",
    ]


# Each line has what the one before it has, three times.
MERGES = b"a0: &a0 {x: 1}\n" + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d, *a%d]}\n" % (i, i, i - 1, i - 1, i - 1) for i in range(1, 40))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"before_release:\n  - a\n - b\n", "line 3, column 2: "),
        (b"before_release: [a\n", "line 2, column 1: "),
        (b"a: 1\n\tb: 2\n", "line 2, column 1: "),
        (b"before_release: !!python/object/apply:os.system ['id']\n", "line 1, column 17: "),
        (b"- a\n- b\n", "line 1: expected `key: value` pairs at the top"),
        (b"just words", "line 1: expected `key: value` pairs at the top"),
        (b"before_release: {a: b}\n", "before_release: expected a list of commands"),
        (b"before_deploy: [1]\n", "before_deploy: expected a list of commands"),
        (b"before_deploy: [[a]]\n", "before_deploy: expected a list of commands"),
        (b"before_deploy: true\n", "before_deploy: expected a list of commands"),
        (b"after_deploy_failure: {}\nafter_scale_success: 1\n", "after_scale_success: expected a list of commands"),
        (b"a: \x00", "Invalid .aptible.yml: "),
        (b"\xff\xfe\xff", "Invalid .aptible.yml: "),
        (b"a: 2001-99-99\n", "it is not a YAML text"),
        (b"[" * 5000, "Invalid .aptible.yml: "),
        (b"? [a, b]\n: c\n", "line 1, column 3: "),
        (b"a: *nowhere\n", "line 1, column 4: "),
        (b'a: !!int ""\n', "it is not a YAML text"),
        (b"a: !!bool x\n", "it is not a YAML text"),
        (b"a: !!timestamp x\n", "it is not a YAML text"),
        (MERGES, "too much is merged"),
        (b"a: !" + b"x" * 5000, "could not determine a constructor"),
    ],
)
def test_a_mistake_in_an_aptible_yml_is_told_with_its_place(console: Console, text: bytes, message: str) -> None:
    with pytest.raises(InvalidAptibleYml) as caught:
        parse_aptible_yml(text, console)
    assert message in str(caught.value) and len(caught.value.lines) == 1 and len(str(caught.value)) < 300


@given(st.binary(max_size=60))
def test_any_aptible_yml_is_read_or_refused(data: bytes) -> None:
    try:
        parse_aptible_yml(data, Console(io.StringIO(), io.StringIO()))
    except PaasError as error:
        assert len(error.lines) == 1


def test_an_image_alone_runs_its_command_as_web(console: Console) -> None:
    assert parse({}, IMAGE, console, "shop") == Manifest({WEB: None}, 5000, implicit=True)
    entry = dataclasses.replace(IMAGE, command=(), entrypoint=("/start",))
    assert parse({}, entry, console, "shop").processes == {"web": None}


def test_the_lowest_exposed_tcp_port_is_the_port_of_web(console: Console) -> None:
    image = dataclasses.replace(IMAGE, ports=("10000/tcp", "53/udp", "8080/tcp", "9000/tcp"))
    assert parse({}, image, console, "shop").port == 8080
    assert parse({}, dataclasses.replace(IMAGE, ports=("53/udp",)), console, "shop").port == 5000


def test_nothing_to_run(console: Console) -> None:
    silent = dataclasses.replace(IMAGE, command=())
    for files in ({}, {"Procfile": b"# nothing\n"}, {"Procfile": b"release: migrate\n"}):
        with pytest.raises(NothingToRun):
            parse(files, silent, console, "shop")


def test_the_release_line_comes_before_aptibles_commands_and_is_no_process(console: Console) -> None:
    files = {"Procfile": b"release: one\nworker: w\n", ".aptible.yml": b"before_release: [two, three]\n"}
    manifest = parse(files, dataclasses.replace(IMAGE, command=()), console, "shop")
    assert manifest.processes == {"worker": "w"}
    assert manifest.before == (
        PhaseCommand("release", "Procfile", "one"),
        PhaseCommand("before_release", ".aptible.yml", "two"),
        PhaseCommand("before_release", ".aptible.yml", "three"),
    )


def test_a_procfile_with_only_a_release_line_runs_the_image(console: Console) -> None:
    manifest = parse({"Procfile": b"release: one\n"}, IMAGE, console, "shop")
    assert manifest.processes == {"web": None} and [item.command for item in manifest.before] == ["one"]


def test_in_an_image_aptibles_folder_comes_first() -> None:
    found = {"/app/Procfile": b"app", "/app/app.json": b"{}", "/app/.aptible.yml": b"ignored"}
    places = Paths().of_image(IMAGE)
    assert pick(places, found) == {"Procfile": b"app", "app.json": b"{}"}
    assert pick(places, found | {"/.aptible/Procfile": b"a"})["Procfile"] == b"a"
    assert Paths().of_image(dataclasses.replace(IMAGE, working_dir="/"))["Procfile"] == ("/.aptible/Procfile", "/Procfile")


def test_files_that_have_other_places(console: Console) -> None:
    places = Paths("deploy/Procfile.web", "deploy/app.json")
    found = {"/app/Procfile": b"a", "/.aptible/Procfile": b"b", "/app/app.json": b"{}", "/app/deploy/app.json": b"[]"}
    assert pick(places.of_image(IMAGE), found) == {"app.json": b"[]"}
    assert places.of_commit() == {
        "Procfile": "deploy/Procfile.web",
        ".aptible.yml": ".aptible.yml",
        "app.json": "deploy/app.json",
    }


def test_the_commands_before_a_release_in_their_order(console: Console) -> None:
    files = {
        "Procfile": b"release: r\nweb: w\n",
        ".aptible.yml": b"before_deploy: [b]\n",
        "app.json": b'{"scripts": {"postdeploy": "once", "dokku": {"predeploy": "p", "postdeploy": "after"}}}',
    }
    manifest = parse(files, IMAGE, console, "shop")
    assert [(item.phase, item.origin, item.command) for item in manifest.before] == [
        ("predeploy", "app.json", "p"),
        ("release", "Procfile", "r"),
        ("before_deploy", ".aptible.yml", "b"),
        ("heroku.postdeploy", "app.json", "once"),
    ]
    assert manifest.after == (PhaseCommand("postdeploy", "app.json", "after"),) and manifest.app_json


def test_a_start_command_is_enough_to_run(console: Console) -> None:
    silent = dataclasses.replace(IMAGE, command=())
    assert parse({}, silent, console, "shop", start_command="serve").processes == {"web": None}
