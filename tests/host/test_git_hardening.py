"""What a pusher can send that git or the machine might take for more than it is. docs/security.md has the table."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import raw_git
from support.doors import Door
from support.raw_git import BLOB, OFS_DELTA, Object, commit, tree, varint
from support.repo import Repo
from support.server import STUB, Paas, run

FILE, LINK, FOLDER, SUBMODULE = 0o100644, 0o120000, 0o40000, 0o160000
WEB = "FROM paas-test/web\n"
DOCKERFILE = Object(BLOB, WEB.encode())
PLAIN = tree((FILE, "Dockerfile", DOCKERFILE.id))
PUSHED = [DOCKERFILE, PLAIN, commit(PLAIN)]
TIP = PUSHED[-1].id


def stored(paas: Paas, app: str) -> list[str]:
    """The refs that an app's repository has."""
    folder = paas.root / f"repositories/{app}.git"
    listed = run(["git", "--git-dir=.", "for-each-ref", "--format=%(refname)"], cwd=folder, env=os.environ).ok()
    return listed.splitlines()


def objects(paas: Paas, app: str) -> list[Path]:
    """What an app's repository has of objects, and what is left of pushes."""
    return [path for path in (paas.root / f"repositories/{app}.git/objects").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        (b"refs/heads/-h", "Invalid branch name: -h"),
        (b"refs/heads/--exec=touch", "Invalid branch name: --exec=touch"),
        (b"refs/tags/--upload-pack=x", "Invalid branch name: --upload-pack=x"),
        (b"refs/heads/@{1}", "Invalid branch name: @{1}"),
        (b"refs/heads/../../config", "Invalid branch name: ../../config"),
        (b"refs/heads/a\nb", "b is no branch (refs/heads/...) and no tag"),
        (b"refs/heads/a.lock", "Invalid branch name: a.lock"),
        ("refs/heads/a\u2028b".encode(), "Invalid branch name: a\\u2028b"),
        (b"refs/heads/\xff\xfe", "Invalid branch name: \\udcff\\udcfe"),
        (b"refs/heads/" + b"n" * 201, "Invalid branch name: nnnn"),
        (b"refs/heads/" + b"n" * 5000, "Invalid branch name: nnnn"),
        (b"HEAD", "HEAD is no branch (refs/heads/...) and no tag"),
        (b"config", "config is no branch (refs/heads/...) and no tag"),
        (b"refs/notes/commits", "deny updating a hidden ref"),
        (b"refs/paas-sync/wanted", "deny updating a hidden ref"),
        (b"refs/remotes/origin/main", "deny updating a hidden ref"),
    ],
)
def test_odd_refs_are_refused(paas: Paas, host: Door, ref: bytes, reason: str) -> None:
    said = raw_git.push(host, "refs", ref, PUSHED, TIP)[1]
    assert reason in said
    assert "Internal error" not in said
    assert stored(paas, "refs") == []


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([(FOLDER, ".GIT", PLAIN.id)], "hasDotgit"),
        ([(FOLDER, ".g\u200cit", PLAIN.id)], "hasDotgit"),
        ([(FOLDER, "git~1", PLAIN.id)], "hasDotgit"),
        ([(FOLDER, ".git ", PLAIN.id)], "hasDotgit"),
        ([(FOLDER, "..", PLAIN.id)], "hasDotdot"),
        ([(FILE, "../../hooks/pre-receive", DOCKERFILE.id)], "fullPathname"),
        ([(LINK, "a", DOCKERFILE.id), (FILE, "a/b", DOCKERFILE.id)], "fullPathname"),
        ([(LINK, "a", DOCKERFILE.id), (FOLDER, "a", PLAIN.id)], "duplicateEntries"),
        ([(LINK, ".gitmodules", DOCKERFILE.id)], "gitmodulesSymlink"),
    ],
    ids=["case", "hfs", "ntfs", "blank", "dotdot", "climbing", "through-a-link", "twice", "modules-link"],
)
def test_trees_that_lead_elsewhere_are_refused(
    paas: Paas, host: Door, entries: list[tuple[int, str, str]], reason: str
) -> None:
    """Attack: a tree that a checkout would write into .git, or through a link out of the folder."""
    evil = tree(*entries)
    said = raw_git.push(host, "trees", b"refs/heads/main", [*PUSHED, evil, commit(evil)], commit(evil).id)[1]
    assert reason in said
    assert stored(paas, "trees") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[submodule "../../x"]\n\tpath = lib\n\turl = https://example.com/x\n', "gitmodulesName"),
        ('[submodule "x"]\n\tpath = -lib\n\turl = https://example.com/x\n', "gitmodulesPath"),
        ('[submodule "x"]\n\tpath = lib\n\turl = -u./payload\n', "gitmodulesUrl"),
        ('[submodule "x"]\n\tpath = lib\n\turl = ssh://-oProxyCommand=touch/x\n', "can't be checked out: its URL"),
        ('[submodule "x"]\n\tpath = lib\n\turl = ext::touch /tmp/owned\n', "can't be checked out: its URL"),
        # CVE-2025-48384: git's own config reader loses the CR, and a hook lands where a link leads.
        ('[submodule "x"]\n\tpath = "lib\r"\n\turl = file:///etc\n', "can't be checked out"),
    ],
    ids=["name", "path", "url", "ssh", "ext", "cr"],
)
def test_submodules_that_run_something_are_refused(paas: Paas, host: Door, text: str, reason: str) -> None:
    modules = Object(BLOB, text.encode())
    link = Object(BLOB, b".git/modules/x/hooks")
    name = "lib\r" if "\r" in text else "-lib" if "-lib" in text else "lib"
    entries = [(SUBMODULE, name, "1" * 40), (FILE, ".gitmodules", modules.id), (FILE, "Dockerfile", DOCKERFILE.id)]
    entries += [(LINK, "lib", link.id)] if "\r" in text else []
    built = Object(BLOB, b'FROM paas-test/web\nRUN ["/bin/busybox", "true"]\n')
    entries[2] = (FILE, "Dockerfile", built.id)
    evil = tree(*sorted(entries, key=lambda entry: entry[1]))
    said = raw_git.push(host, "modules", b"refs/heads/main", [built, modules, link, evil, commit(evil)], commit(evil).id)[1]
    assert reason in said, said
    assert stored(paas, "modules") == []


def test_a_push_has_limits(paas: Paas, host: Door, repo: Repo) -> None:
    host.ssh("apps:create", "limits").ok()
    repo.write({"Dockerfile": WEB, "large": os.urandom(100_000)})
    repo.commit()
    host.ssh("git:set", "limits", "push-max-size", "50000").ok()
    refused = repo.push(host.remote("limits"), "main", host.git_env())
    assert refused.code == 1 and "exceeds maximum allowed size" in refused.err
    host.ssh("git:set", "limits", "push-max-size").ok()
    host.ssh("git:set", "limits", "push-max-objects", "3").ok()
    refused = repo.push(host.remote("limits"), "main", host.git_env())
    assert refused.code == 1 and "The push has 4 objects, more than the 3 that limits takes" in refused.err
    assert (stored(paas, "limits"), objects(paas, "limits")) == ([], [])
    host.ssh("git:set", "limits", "push-max-objects", "4").ok()
    assert repo.push(host.remote("limits"), "main", host.git_env()).code == 0


def test_a_pack_that_claims_too_much_ends_at_once(paas: Paas, host: Door) -> None:
    """Attack: memory for as many objects as the pack's header names is taken before the first one is read."""
    said = raw_git.push(host, "claims", b"refs/heads/main", PUSHED, TIP, claimed=2**30)[1]
    assert "attempting to allocate" in said and "over limit" in said, said
    assert (stored(paas, "claims"), objects(paas, "claims")) == ([], [])


def test_a_delta_bomb_gets_no_memory(paas: Paas, host: Door) -> None:
    """Attack: a delta of some kilobytes copies its base until the file has 64 GB."""
    base = Object(BLOB, b"\0" * (1 << 20))
    copies = 1 << 16
    delta = varint(1 << 20) + varint(copies << 20) + b"\xf0\x00\x00\x10" * copies
    bomb = Object(OFS_DELTA, delta, back=len(base.packed))
    said = raw_git.push(host, "deltas", b"refs/heads/main", [base, bomb, *PUSHED], TIP)[1]
    assert "attempting to allocate 68719476737 over limit" in said, said
    assert (stored(paas, "deltas"), objects(paas, "deltas")) == ([], [])


def test_a_bomb_of_folders_is_refused(paas: Paas, host: Door) -> None:
    """Attack: ten lists of ten entries each, one below the other, are ten thousand million files."""
    built = Object(BLOB, b'FROM paas-test/web\nRUN ["/bin/busybox", "true"]\n')
    found = [tree((FILE, "f", built.id))]
    for _ in range(10):
        found.append(tree(*((FOLDER, f"d{number}", found[-1].id) for number in range(10))))
    found.append(tree((FILE, "Dockerfile", built.id), (FOLDER, "all", found[-1].id)))
    host.ssh("apps:create", "folders").ok()
    host.ssh("git:set", "folders", "push-max-objects", "20000").ok()
    said = raw_git.push(host, "folders", b"refs/heads/main", [built, *found, commit(found[-1])], commit(found[-1]).id)[1]
    assert "The commit's files are more than 20000 files and folders" in said, said
    assert stored(paas, "folders") == []
    assert not list(paas.root.glob("checkouts/*/tree/all"))


def test_a_giant_list_is_refused(paas: Paas, host: Door) -> None:
    """Attack: a commit's message of which a kilobyte is sent and a gigabyte read, by whoever looks at the commit."""
    large = commit(PLAIN, "x" * (17 << 20))
    said = raw_git.push(host, "giants", b"refs/heads/main", [DOCKERFILE, PLAIN, large], large.id)[1]
    assert "The push has a commit of 178" in said, said
    assert (stored(paas, "giants"), objects(paas, "giants")) == ([], [])


def test_a_file_that_unpacks_to_a_giant_is_not_read(paas: Paas, host: Door) -> None:
    zeros = Object(BLOB, b"\0" * (8 << 20))
    evil = tree((FILE, "Dockerfile", DOCKERFILE.id), (FILE, "Procfile", zeros.id))
    pushed = [DOCKERFILE, zeros, evil, commit(evil)]
    said = raw_git.push(host, "zeros", b"refs/heads/main", pushed, commit(evil).id)[1]
    assert f"Procfile in the commit is {8 << 20} bytes long" in said, said


def test_what_a_tree_says_about_git_is_content(
    paas: Paas, host: Door, repo: Repo, tmp_path: Path
) -> None:
    """Attack: hooks, settings, filters and a whole repository of the pusher's in the pushed tree; builds see a .git."""
    owned = tmp_path / "owned"
    program = f"#!/bin/sh\ntouch {owned}\n"
    settings = f'[core]\n\tfsmonitor = "touch {owned}; false"\n\thooksPath = hooks\n[filter "evil"]\n\tsmudge = touch {owned}\n'
    repo.write(
        {
            "Dockerfile": "FROM paas-test/web\nCOPY . /www/\n",
            ".gitattributes": "* filter=evil diff=evil merge=evil export-subst\nsecret export-ignore\n",
            "secret": "$Format:%H$\n",
            ".gitconfig": settings,
            "config": settings,
            "HEAD": "ref: refs/heads/main\n",
            "objects/info/none": "",
            "refs/heads/none": "",
        }
    )
    hooks = ("pre-receive", "post-receive", "update", "post-checkout", "post-index-change", "reference-transaction")
    repo.write({f"hooks/{name}": program for name in hooks}, executable=True)
    repo.commit()
    host.ssh("apps:create", "content").ok()
    host.ssh("git:set", "content", "keep-git-dir", "true").ok()
    repo.push(host.remote("content"), "main", host.git_env()).ok()
    repository = paas.root / "repositories/content.git"
    settings_before = (repository / "config").read_text()
    assert paas.http_get("content", "/secret").body == "$Format:%H$\n"
    assert paas.http_get("content", "/hooks/update").body == program
    repo.git("fetch", host.remote("content"), "main", env=host.git_env()).ok()
    host.ssh("repo:gc", "content").ok()
    host.ssh("ps:rebuild", "content").ok()
    assert not owned.exists()
    assert (repository / "config").read_text() == settings_before
    assert "evil" not in settings_before
    assert not (repository / "hooks").exists()


def test_history_that_is_pushed_with_force_and_branches_that_go(paas: Paas, host: Door, repo: Repo) -> None:
    """As with Dokku: --force is for whoever may push; only the deploy branch can't be deleted."""
    repo.write({"Dockerfile": WEB})
    repo.commit()
    repo.push(host.remote("forced"), "main", host.git_env()).ok()
    repo.push(host.remote("forced"), "main:other", host.git_env()).ok()
    repo.git("commit", "-q", "--amend", "-m", "Other").ok()
    assert repo.push(host.remote("forced"), "main", host.git_env()).code == 1
    assert repo.push(host.remote("forced"), "main", host.git_env(), "--force").code == 0
    assert repo.push(host.remote("forced"), ":other", host.git_env()).code == 0
    refused = repo.push(host.remote("forced"), ":main", host.git_env())
    assert "main is the deploy branch of forced and can't be deleted" in refused.err
    assert stored(paas, "forced") == ["refs/heads/main"]


@pytest.mark.parametrize(
    "asked",
    [
        raw_git.line(b"command=nothing\n") + raw_git.FLUSH,
        raw_git.line(b"command=fetch") + b"0001" + raw_git.line(b"want " + b"1" * 40) + raw_git.line(b"done") + raw_git.FLUSH,
        raw_git.line(b"command=fetch") + b"0001" + raw_git.line(b"filter blob:none") + raw_git.FLUSH,
        b"zzzz",
        b"ffff",
        b"0003",
        b"\0" * 70000,
    ],
    ids=["no-command", "not-ours", "filter", "no-number", "cut", "short", "zeros"],
)
def test_odd_requests_end(host: Door, asked: bytes) -> None:
    host.ssh("apps:create", "asked")
    code, said = raw_git.say(host, ["git-upload-pack", "asked"], asked, "version=2")
    assert "Internal error" not in said
    assert code == 128


@pytest.mark.parametrize("protocol", ["version=2;touch", "version=$(id)", "version=2\nGIT_DIR=/", "x" * 5000])
def test_an_odd_protocol_is_none(host: Door, protocol: str) -> None:
    host.ssh("apps:create", "spoken")
    assert raw_git.say(host, ["git-upload-pack", "spoken"], raw_git.FLUSH, protocol)[0] == 0


def test_a_clone_with_a_filter_is_a_whole_one(host: Door, repo: Repo) -> None:
    repo.write({"Dockerfile": WEB})
    repo.commit()
    repo.push(host.remote("whole"), "main", host.git_env()).ok()
    cloned = repo.git("clone", "-q", "--filter=blob:none", "--no-checkout", host.remote("whole"), "copy", env=host.git_env())
    assert cloned.code == 0 and "filtering not recognized by server" in cloned.err


def test_git_gets_no_variables_of_the_clients(paas: Paas, tmp_path: Path) -> None:
    """Attack: variables that a careless sshd lets through (AcceptEnv *), all of which git obeys."""
    paas.command("apps:create", "variables").ok()
    trace = tmp_path / "trace"
    hostile = {"GIT_TRACE": str(trace), "GIT_DIR": "/nowhere", "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "uploadpack.packObjectsHook"}
    hostile |= {"GIT_CONFIG_VALUE_0": f"touch {trace}", "GIT_EXEC_PATH": str(tmp_path), "PAAS_CALLER": "root", "PAGER": f"touch {trace}"}
    hostile |= {"SSH_ORIGINAL_COMMAND": "git-upload-pack variables", "GIT_TEMPLATE_DIR": "/etc", "GIT_PROXY_COMMAND": "/bin/false"}
    done = subprocess.run([STUB, "--ssh", "1"], input=raw_git.FLUSH, env={**paas.env, **hostile}, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not trace.exists()
