"""The images that tests deploy, built when missing: `python -m support.images` in tests/ builds all.

An image carries the hash of its recipe as a label, so a changed recipe is noticed and an unchanged one costs one
`docker image inspect`. `tests/images/README.md` says what each is for.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

TESTS = Path(__file__).resolve().parent.parent
IMAGES = TESTS / "images"
DEMO = TESTS.parent / "demo"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
RECIPE_LABEL = "paas-test.recipe"
RELEASE = "bookworm"
BASE_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv"


@dataclass(frozen=True)
class Recipe:
    """How one image is made: `inputs` are the files that decide what is in it."""

    name: str
    inputs: tuple[Path, ...]
    build: Callable[[Recipe, str], None]
    after: tuple[Recipe, ...] = ()

    @property
    def tag(self) -> str:
        return f"paas-test/{self.name}"

    def digest(self) -> str:
        """A hash of everything that the image is made from."""
        parts = [recipe.digest().encode() for recipe in self.after]
        parts += [RELEASE.encode(), BASE_PACKAGES.encode(), inspect.getsource(self.build).encode()]
        parts += [path.read_bytes() for path in self.inputs if path.is_file()]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()

    def ensure(self) -> bool:
        """Build the image unless the engine has it; True when it was built."""
        for recipe in self.after:
            recipe.ensure()
        digest = self.digest()
        template = '{{index .Config.Labels "' + RECIPE_LABEL + '"}}'
        found = subprocess.run(
            ["docker", "image", "inspect", "--format", template, self.tag], capture_output=True, text=True
        )
        if found.returncode == 0 and found.stdout.strip() == digest:
            return False
        self.build(self, digest)
        return True


def _debootstrap(recipe: Recipe, digest: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "base"
        _run(["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", RELEASE, str(tree)])
        # pip inside of a build must trust what this machine trusts.
        shutil.copyfile(CA_BUNDLE, tree / CA_BUNDLE.relative_to("/"))
        for unneeded in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(tree / unneeded, ignore_errors=True)
        changes = [f"ENV PIP_CERT={CA_BUNDLE} SSL_CERT_FILE={CA_BUNDLE}", f"LABEL {RECIPE_LABEL}={digest}"]
        options = [word for change in changes for word in ("--change", change)]
        with subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE) as tar:
            _run(["docker", "import", *options, "-", recipe.tag], stdin=tar.stdout)
        if tar.returncode != 0:
            raise RuntimeError(f"tar failed on {tree}")


def _dockerfile(recipe: Recipe, digest: str) -> None:
    with tempfile.TemporaryDirectory() as context:
        for path in recipe.inputs:
            shutil.copy(path, context)
        _run(["docker", "build", "--label", f"{RECIPE_LABEL}={digest}", "--tag", recipe.tag, context])


def _run(command: list[str], stdin: IO[bytes] | None = None) -> None:
    """Run quietly; the output only matters when it fails."""
    done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:2])} failed:\n{done.stdout[-3000:]}")


def _files(directory: Path, *names: str) -> tuple[Path, ...]:
    return tuple(directory / name for name in names)


BUSYBOX = Path(shutil.which("busybox") or "/usr/bin/busybox")
BASE = Recipe("base", (CA_BUNDLE,), _debootstrap)
WEB = Recipe("web", (*_files(DEMO, "Dockerfile", "index.cgi"), BUSYBOX), _dockerfile)
STATIC = Recipe("static", (*_files(IMAGES / "static", "Dockerfile", "index.html"), BUSYBOX), _dockerfile)
SHELL = Recipe("shell", _files(IMAGES / "shell", "Dockerfile"), _dockerfile, after=(WEB,))
APTIBLE = Recipe(
    "aptible", _files(IMAGES / "aptible", "Dockerfile", "Procfile", "aptible.yml"), _dockerfile, after=(SHELL,)
)
DATASETTE = Recipe("datasette", _files(IMAGES / "datasette", "Dockerfile"), _dockerfile, after=(BASE,))
TRAFFIC = Recipe("traffic", _files(IMAGES / "traffic", "Dockerfile", "app.py"), _dockerfile, after=(BASE,))
ALL = (BASE, WEB, STATIC, SHELL, APTIBLE, DATASETTE, TRAFFIC)


def ensure(recipes: Iterable[Recipe] = ALL) -> None:
    """Build what is missing, telling on standard error what takes time."""
    for recipe in recipes:
        started = time.monotonic()
        if recipe.ensure():
            print(f"       built {recipe.tag} in {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    ensure()
