"""Many deploys of one app, and what is left of each: `python -m faults.soak [N]` in tests/, by hand, as root.

Prints a table, a row after a tenth, a fifth, half and all of them; ends with 1 where something grows from the middle of
the run to its end. Memory is PSS, so that pages which processes share count once.
"""

from __future__ import annotations

import contextlib
import sys
import time

import docker
from support import images, processes
from support.repo import Repo
from support.server import Paas, running_paas
from support.state import containers, tags

USUAL = 500
SHARES = (0.1, 0.2, 0.5, 1.0)
PORTION = 4096
# Pages and caches come and go; what leaks with every deploy grows by more.
# History is the user's, and grows with what is pushed.
LEEWAY = {"database kB": 1.25, "paas root kB": 1.25, "repository kB": 2.0, "memory kB": 1.2, "descriptors": 1.2}
HEADER = ("deploys", "images", "containers", "releases", "logs", "database kB", "paas root kB", "repository kB", "descriptors", "memory kB", "seconds")


def measured(paas: Paas, engine: docker.DockerClient, count: int, seconds: float) -> dict[str, float]:
    """One row of the table."""
    assert paas.process
    memory = descriptors = 0
    for pid in processes.descendants(paas.process.pid):
        with contextlib.suppress(OSError):
            descriptors += processes.descriptors(pid)
            memory += processes.pss(pid)
    size = lambda path: sum(item.lstat().st_blocks for item in path.rglob("*")) // 2  # noqa: E731
    return {
        "deploys": count,
        "images": len(tags(paas, engine, "soaked")),
        "containers": len(containers(paas, engine, "soaked")),
        "releases": len(paas.command("releases", "soaked").ok().splitlines()) - 2,
        "logs": len(list((paas.root / "operations").iterdir())),
        "database kB": sum(item.stat().st_size for item in paas.root.glob("paas.db*")) // 1024,
        "paas root kB": size(paas.root) - size(paas.root / "repositories"),
        "repository kB": size(paas.root / "repositories"),
        "descriptors": descriptors,
        "memory kB": memory,
        "seconds": round(seconds, 2),
    }


def main(total: int) -> int:
    """Deploy, measure, compare."""
    images.ensure()
    rows: list[dict[str, float]] = []
    with running_paas() as paas, contextlib.closing(docker.from_env()) as engine:
        paas.command("apps:create", "soaked").ok()
        paas.command("checks:set", "soaked", "wait-to-retire", "1").ok()
        repo = Repo(paas.root.with_name("repo"))
        environment = {**paas.env, "GIT_SSH_COMMAND": f"ssh -i {paas.key} -p {paas.ssh_port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"}
        print("  ".join(f"{name:>12}" for name in HEADER))
        started, since = time.monotonic(), 0
        marks = {max(1, int(total * share)) for share in SHARES}
        for number in range(1, total + 1):
            repo.write({"Dockerfile": "FROM paas-test/static\nCOPY page /page\n", "page": f"{number}\n" + "x" * PORTION})
            repo.commit()
            repo.push("paas@127.0.0.1:soaked", "main:master", environment).ok()
            if number in marks:
                took = (time.monotonic() - started) / (number - since)
                # What the last deploys replaced is being stopped.
                deadline = time.monotonic() + 30
                while len(containers(paas, engine, "soaked")) > 1 and time.monotonic() < deadline:
                    time.sleep(0.2)
                rows.append(measured(paas, engine, number, took))
                print("  ".join(f"{rows[-1][name]:>12}" for name in HEADER), flush=True)
                started, since = time.monotonic(), number
        assert paas.http_get("soaked", "/page").body.startswith(f"{total}\n")
    return compare(rows)


def compare(rows: list[dict[str, float]]) -> int:
    """0 where the second half of the run grew nothing that has a bound."""
    middle, last = rows[-2], rows[-1]
    grown = [
        name
        for name in HEADER[1:-1]
        if last[name] > middle[name] * LEEWAY.get(name, 1.0)
    ]  # fmt: skip
    print(f"grows: {', '.join(grown)}" if grown else "all of it levels off")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else USUAL))
