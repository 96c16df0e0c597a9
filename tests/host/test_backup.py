"""A backup of a machine with every kind of app, restored on one without any: all of it serves again, or nothing changed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from support import doors
from support.clients import until
from support.engine import remove_everything_of, remove_tags_of
from support.repo import GIT_ENV, Repo
from support.server import Paas, _root_id, run, running_paas

PASSPHRASE = "ein langer Satz, den niemand rät"
SECRET = "planted-9f2c71"
DOCKERFILE = "FROM paas-test/static\nCOPY page.html /page.html\n"


@dataclass(frozen=True)
class Saved:
    """A backup, and what was true on its machine."""

    data: bytes
    without_images: bytes
    root: Path
    commit: str
    host_key: bytes


@pytest.fixture(scope="module")
def saved(engine: docker.DockerClient, image_names: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    """Made on a machine that is gone afterwards, images and all."""
    with running_paas() as paas:
        host = doors.embedded(paas)
        for app in ("imaged", "pushed", "stopped", "fresh"):
            host.ssh("apps:create", app).ok()
        host.ssh("git:from-image", "imaged", image_names["web"]).ok()
        host.ssh("git:from-image", "stopped", image_names["web"]).ok()
        host.ssh("ps:stop", "stopped").ok()
        host.ssh("config:set", "--no-restart", "fresh", f"TOKEN={SECRET}").ok()
        host.ssh("domains:add", "imaged", "shop.example.com").ok()
        host.ssh("network:create", f"between-{paas.ssh_port}").ok()
        repo = Repo(tmp_path_factory.mktemp("backup") / "repo")
        repo.write({"Dockerfile": DOCKERFILE, "page.html": "built here\n"})
        commit = repo.commit()
        host.ssh("storage:ensure-directory", "pushed-data").ok()
        (paas.root / "storage/pushed-data/note").write_text("kept\n")
        os.chown(paas.root / "storage/pushed-data/note", 4711, 4712)
        host.ssh("storage:mount", "pushed", f"{paas.root}/storage/pushed-data:/data").ok()
        host.ssh("config:set", "--no-restart", "pushed", f"TOKEN={SECRET}").ok()
        repo.push(host.remote("pushed"), "main:master", host.git_env()).ok()
        assert paas.http_get("pushed", "/page.html").body == "built here\n"
        made = []
        for words in (["--volumes"], ["--volumes", "--no-images"]):
            done = subprocess.run(
                host.ssh_command("backup:create", *words), env=paas.env, input=f"{PASSPHRASE}\n".encode(), capture_output=True
            )
            assert done.returncode == 0, done.stderr.decode()
            made.append(done.stdout)
        key = (paas.root / "ssh/host_ed25519").read_bytes()
        network = f"between-{paas.ssh_port}"
        paas.stop()
        remove_everything_of(engine, lambda root: root == str(paas.root))
        remove_tags_of(engine, _root_id(paas.root))
        shutil.rmtree(paas.root)
        try:
            yield Saved(made[0], made[1], paas.root, commit, key)
        finally:
            with contextlib.suppress(docker.errors.NotFound):
                engine.networks.get(network).remove()


def opened(data: bytes, passphrase: str = PASSPHRASE) -> bytes:
    return f"{passphrase}\n".encode() + data


def test_nothing_of_it_can_be_read_without_the_passphrase(saved: Saved) -> None:
    assert saved.data.startswith(b"age-encryption.org/v1\n-> scrypt ")
    for word in (SECRET, "imaged", "built here", PASSPHRASE, "PRIVATE KEY"):
        assert word.encode() not in saved.data


def test_an_empty_machine_serves_everything_again(saved: Saved, paas: Paas, engine: docker.DockerClient, tmp_path: Path) -> None:
    host = doors.embedded(paas)
    said = host.ssh("backup:verify", "--format", "json", input=opened(saved.data)).ok()
    found = json.loads(said)
    assert found["apps"] == ["fresh", "imaged", "pushed", "stopped"]
    assert len(found["images"]) == 3 and len(found["volumes"]) == 1

    text = host.ssh("backup:restore", input=opened(saved.data)).ok()
    assert "4 apps are here, 2 are to run" in text
    assert paas.http_get("pushed", "/page.html").body == "built here\n"
    assert paas.http_get("shop.example.com").status == 200
    assert paas.http_get("stopped").status != 200
    assert host.ssh("config:get", "pushed", "TOKEN").ok().strip() == SECRET
    assert host.ssh("config:get", "fresh", "TOKEN").ok().strip() == SECRET
    # The key that let us in still does, and the one of the backup.
    keys = host.ssh("ssh-keys:list").ok()
    assert 'NAME="admin"' in keys and 'NAME="admin-2"' in keys, keys
    assert (paas.root / "ssh/host_ed25519").read_bytes() == saved.host_key
    note = paas.root / "storage/pushed-data/note"
    assert (note.read_text(), note.stat().st_uid, note.stat().st_gid) == ("kept\n", 4711, 4712)
    assert any(item.name.startswith("between-") for item in engine.networks.list())
    run(["git", "clone", "--quiet", host.remote("pushed"), str(tmp_path / "again")], env=host.git_env()).ok()
    head = run(["git", "rev-parse", "HEAD"], env={**os.environ, **GIT_ENV}, cwd=tmp_path / "again")
    assert head.ok().strip() == saved.commit
    # All goes on from there.
    host.ssh("ps:start", "stopped").ok()
    assert paas.http_get("stopped").status == 200
    host.ssh("config:set", "pushed", "MORE=1").ok()
    assert paas.http_get("pushed", "/page.html").status == 200
    assert not list(paas.root.glob(".restore*")) and not list(paas.root.glob("run/backup*"))
    tags = {tag for item in engine.api.images() for tag in item["RepoTags"] or ()}
    assert not any(_root_id(saved.root) in tag for tag in tags)

    again = host.ssh("backup:restore", input=opened(saved.data))
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "There are apps here already: fresh, imaged, pushed, stopped. Nothing was changed" in again.err


def test_without_images_apps_are_built_again(saved: Saved) -> None:
    with running_paas() as paas:
        file = paas.root.with_name("paas.backup")
        file.write_bytes(saved.without_images)
        paas.command("backup:restore", str(file), input=f"{PASSPHRASE}\n").ok()
        assert paas.http_get("pushed", "/page.html").body == "built here\n"
        assert paas.http_get("imaged").status == 200


def test_what_is_not_whole_changes_nothing(saved: Saved, engine: docker.DockerClient) -> None:
    with running_paas() as paas:
        host = doors.embedded(paas)
        host.ssh("apps:list").ok()
        before = everything(paas, engine, saved)
        flipped = bytearray(saved.data)
        flipped[len(flipped) // 2] ^= 1
        longer = saved.data + b"x"
        cases = [
            (opened(saved.data[: len(saved.data) // 2]), "is damaged or not whole: it ends early"),
            (opened(saved.data[:-1]), "is damaged or not whole"),
            (opened(saved.data[:300]), "is damaged or not whole: it ends early"),
            (opened(bytes(flipped)), "is damaged or not whole: part"),
            (opened(longer), "is damaged or not whole"),
            (opened(saved.data, "wrong"), "The passphrase or key does not open this backup. Nothing was changed"),
            (saved.data, "There is no passphrase"),
            (b"garbage\n" * 100, "This is no backup of paas. Nothing was changed"),
            (b"", "This is no backup of paas"),
        ]
        for data, message in cases:
            for command in ("backup:restore", "backup:verify"):
                done = subprocess.run(host.ssh_command(command), env=paas.env, input=data, capture_output=True)
                text = done.stderr.decode()
                assert done.returncode == 1 and message in text and "Traceback" not in text, (command, message, text)
            assert everything(paas, engine, saved) == before, message


def everything(paas: Paas, engine: docker.DockerClient, saved: Saved) -> object:
    files = {
        str(path.relative_to(paas.root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(paas.root.rglob("*"))
        if not path.name.startswith("paas.db") and "run/" not in str(path) and not path.is_socket()
    }
    ids = (_root_id(paas.root), _root_id(saved.root))
    tags = {tag for item in engine.api.images() for tag in item["RepoTags"] or ()}
    images = {tag for tag in tags if any(mark in tag for mark in ids)}
    networks = {item.name for item in engine.networks.list() if any(mark in item.name for mark in ids)}
    return files, images, networks, paas.command("apps:list").out


def test_a_recipient_s_key_and_a_file_on_the_host(paas: Paas, image_names: dict[str, str]) -> None:
    from pyrage import x25519

    identity = x25519.Identity.generate()
    base = paas.root.parent
    (base / "key.txt").write_text(f"# created: today\n{identity}\n")
    with running_paas() as other:
        other.command("apps:create", "sealed").ok()
        target = base / "sealed.backup"
        other.command("backup:create", str(target), "--recipient", str(identity.to_public())).ok()
        assert target.stat().st_mode & 0o777 == 0o600
        said = other.command("backup:verify", str(target), "--identity", str(base / "key.txt")).ok()
        assert "Apps: sealed" in said and "It is whole" in said
        # The key may come before it, as a passphrase may.
        both = (base / "key.txt").read_bytes() + target.read_bytes()
        assert "It is whole" in other.command("backup:verify", input=both).ok()
        wrong = other.command("backup:verify", str(target), input="a passphrase\n")
        assert (wrong.code, wrong.err.count("\n")) == (1, 1)
        over_ssh = doors.embedded(other).ssh("backup:create", str(base / "elsewhere"), input="x\n")
        assert over_ssh.code == 2 and not (base / "elsewhere").exists()
        for words in (["--recipient", "age1nonsense"], []):
            refused = other.command("backup:create", *words)
            assert (refused.code, refused.err.count("\n"), refused.out) == (1, 1, "")


def test_what_age_reads_is_an_archive(saved: Saved) -> None:
    import pyrage

    tar = tarfile.open(fileobj=io.BytesIO(pyrage.passphrase.decrypt(saved.data, PASSPHRASE)))
    names = tar.getnames()
    assert names[0] == "manifest.json" and names[-1] == "end.json"
    assert {"paas.db", "files/secret.key", "files/ssh/host_ed25519", "repositories/pushed/00000000"} <= set(names)


def test_commands_go_on_while_a_backup_is_made(paas: Paas, image_names: dict[str, str]) -> None:
    with running_paas() as other:
        other.command("apps:create", "busy").ok()
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [str(doors.Path(__file__).parents[2] / "paas/gateway/stub.py"), "backup:create"],
            env=other.env, stdin=subprocess.PIPE, stdout=writer, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(writer)
        assert process.stdin
        process.stdin.write(b"x\n")
        process.stdin.close()
        # It waits with its first bytes: nobody reads them yet, and everybody else works.
        other.command("git:from-image", "busy", image_names["web"]).ok()
        other.command("config:set", "busy", "A=1").ok()
        assert other.http_get("busy").status == 200
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        assert until(lambda: process.poll() is not None) and process.returncode == 0
        assert "It is whole" in other.command("backup:verify", input=b"x\n" + data).ok()
