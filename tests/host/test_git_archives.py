"""git:from-archive from the web: passwords, redirects, limits that count while it comes; nothing is left behind."""

from __future__ import annotations

import base64
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import remotes
from support.archives import tar_of
from support.doors import Door
from support.remotes import Web
from support.server import Paas, Response

PASSWORD = "correct-horse"


def tar(compression: str = "", **files: str) -> bytes:
    return tar_of({name.replace("__", "/"): text for name, text in files.items()}, compression=compression)


def greeting(text: str) -> str:
    return f"FROM paas-test/web\nENV GREETING={text}\nCOPY text /www/\n"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with remotes.web(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with remotes.web(tmp_path_factory.mktemp("served"), f"ci:{PASSWORD}") as server:
        yield server


def left_behind(paas: Paas, app: str) -> list[str]:
    """What of an archive there still is: drafts, open files without a name, objects that no commit has."""
    found = [str(path) for path in (paas.root / "run").glob("commit-*")]
    objects = paas.root / f"repositories/{app}.git/objects"
    return found + [str(path) for path in objects.rglob("*") if path.is_file()]


def test_from_urls(host: Door, web: Web, private: Web, http_get: Callable[..., Response]) -> None:
    host.ssh("apps:create", "urls").ok()
    web.files["a.tar.gz"] = tar("gz", top__Dockerfile=greeting("Gz"), top__text="1")
    said = host.ssh("git:from-archive", "--archive-type", "tar.gz", "urls", f"{web.url}/files/a.tar.gz").ok()
    assert said.startswith(
        f"-----> Downloading tar.gz file from {web.url}/files/a.tar.gz\n"
        "-----> Generating build context\n"
        "       Extracting gzipped tarball\n"
        "       Moving unarchived files and folders into place\n"
        "-----> Updating git repository with specified build context\n"
    )
    assert "Gz" in http_get("urls").body and http_get("urls", "/text").body == "1"
    assert host.ssh("apps:report", "urls", "--app-deploy-source").ok() == "tar.gz\n"
    assert host.ssh("apps:report", "urls", "--app-deploy-source-metadata").ok() == f"{web.url}/files/a.tar.gz\n"

    # From there to a server that wants a password, which is stored.
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        archive.writestr("top/Dockerfile", greeting("Zip"))
        archive.writestr("top/text", "2")
    private.files["b.zip"] = output.getvalue()
    web.files["moved"] = f"{private.url}/files/b.zip"
    url = f"{web.url}/files/moved"
    without = host.ssh("git:from-archive", "--archive-type", "zip", "urls", url)
    assert without.code == 1 and f"{url} could not be downloaded: the server says 401" in without.err
    host.ssh("git:auth", private.url.removeprefix("http://"), "ci", input=PASSWORD).ok()
    zipped = host.ssh("git:from-archive", "--archive-type", "zip", "urls", url, "Jane", "jane@example.com").ok()
    assert "       Extracting zipball\n       Stripping top-level archive folder components\n" in zipped
    assert "Zip" in http_get("urls").body
    assert all("without credentials" in line for line in web.asked)
    host.ssh("git:auth", private.url.removeprefix("http://")).ok()
    in_url = url.replace(web.url, private.url).replace("moved", "b.zip").replace("://", f"://ci:{PASSWORD}@")
    same = host.ssh("git:from-archive", "--archive-type", "zip", "urls", in_url).ok()
    assert "No changes detected" in same and PASSWORD not in same
    wrong = host.ssh("git:from-archive", "urls", in_url.replace(PASSWORD, "wr0ng-one") + "?token=t0ken")
    assert wrong.code == 1 and "401" in wrong.err and "wr0ng-one" not in wrong.err and "t0ken" not in wrong.err
    everything = host.ssh("operations", "urls").ok() + (host.paas.root / "paas.db").read_bytes().decode("latin-1")
    for word in (PASSWORD, "wr0ng-one", "t0ken", base64.b64encode(PASSWORD.encode()).decode()):
        assert word not in everything


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "it redirects to a file URL"),
        ("ftp://127.0.0.1/x", "it redirects to a ftp URL"),
        ("moved", "it leads on more than 10 times"),
    ],
)
def test_redirects_that_are_not_followed(host: Door, web: Web, target: str, reason: str) -> None:
    app = f"redirect-{reason.split()[-2]}"
    host.ssh("apps:create", app).ok()
    web.files["moved"] = target
    said = host.ssh("git:from-archive", app, f"{web.url}/files/moved")
    assert (said.code, said.err) == (
        1,
        f" !     {web.url}/files/moved could not be downloaded: {reason}. Nothing was changed\n",
    )


def endless(port_is: Callable[[int], None], ends: threading.Event) -> None:
    """A server that sends a tar's header and then zeros for as long as somebody reads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port_is(listener.getsockname()[1])
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            try:
                while True:
                    client.sendall(bytes(65536))
            except OSError:
                ends.set()


def test_the_limit_counts_while_it_comes(paas: Paas, host: Door, web: Web) -> None:
    host.ssh("apps:create", "endless").ok()
    host.ssh("git:set", "endless", "archive-max-size", "200000").ok()
    ports: list[int] = []
    ready, ended = threading.Event(), threading.Event()
    threading.Thread(target=endless, args=(lambda port: (ports.append(port), ready.set()), ended), daemon=True).start()
    assert ready.wait(10)
    expected = (1, " !     Archive exceeds maximum allowed size of 200000 bytes\n")
    said = host.ssh("git:from-archive", "endless", f"http://127.0.0.1:{ports[0]}/x.tar")
    assert (said.code, said.err) == expected and ended.wait(10)
    web.files["large"] = bytes(200_001)
    said = host.ssh("git:from-archive", "endless", f"{web.url}/files/large")
    assert (said.code, said.err) == expected
    said = host.ssh("git:from-archive", "endless", "--", input=bytes(10_000_000))
    assert (said.code, said.err) == expected
    assert left_behind(paas, "endless") == []


def test_what_is_refused_leaves_nothing(paas: Paas, host: Door) -> None:
    host.ssh("apps:create", "refused").ok()
    outside = Path("/tmp/paas-test-outside")
    archive = tar(Dockerfile=greeting("x"), text="1", **{f"..__..__..__tmp__{outside.name}": "owned"})
    said = host.ssh("git:from-archive", "refused", "--", input=archive)
    assert (said.code, said.err) == (1, " !     Archive contains entries with parent directory traversal\n")
    assert not outside.exists() and left_behind(paas, "refused") == []
    assert host.ssh("apps:report", "refused", "--app-deploy-source").ok() == "\n"
    host.ssh("git:set", "refused", "archive-max-files", "1").ok()
    said = host.ssh("git:from-archive", "refused", "--", input=tar(Dockerfile=greeting("x"), text="1"))
    assert (said.code, said.err) == (
        1,
        " !     Archive contains at least 2 entries which exceeds the maximum of 1\n",
    )
    # Nothing to build is found out later, and the ref does not move.
    said = host.ssh("git:from-archive", "refused", "--", input=tar(text="1"))
    assert said.code == 1 and "no Dockerfile" in said.out + said.err
    assert "no commits yet" in host.ssh("git:status", "refused").err
