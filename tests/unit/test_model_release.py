"""Releases and manifests."""

from __future__ import annotations

import json

from paas.model.names import ProcessType
from paas.model.release import WEB, Check, Manifest, PhaseCommand, Process, Variable


def test_a_manifest_comes_back_as_it_was_stored() -> None:
    manifest = Manifest(
        processes={WEB: None, ProcessType("worker"): "python worker.py 'ü'"},
        port=8080,
        before=(PhaseCommand("release", "Procfile", "rake db:migrate"),),
        checks={
            WEB: (
                Check("path", path="/health", headers=(("X-A", "b"),), content="ok", warn_only=True),
                Check("cmd", command=("true", "x y"), timeout=0.5),
            ),
            ProcessType("worker"): (
                Check("up", uptime=10),
                Check("port", listening=True, port=99, kind="readiness", scheme="https"),
            ),
        },
        after=(PhaseCommand("postdeploy", "app.json", "true"),),
        env=(Variable("A", "b"), Variable("C", required=False, generate=True, sync=True)),
        formation={WEB: 2},
        max_parallel={WEB: 1},
        app_json=True,
    )
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_of_an_older_paas_is_read() -> None:
    new = json.loads(Manifest(processes={WEB: None}).to_json())
    for key in ("cron", "after", "env", "formation", "max_parallel", "app_json"):
        del new[key]
    assert Manifest.from_json(json.dumps(new)) == Manifest(processes={WEB: None})


def test_only_startup_checks_hold_up_a_start() -> None:
    live, start = Check("a", uptime=1, kind="liveness"), Check("b", uptime=1)
    manifest = Manifest(processes={WEB: None}, checks={WEB: (live, start)})
    assert manifest.startup_checks("web") == (start,) and manifest.startup_checks("worker") == ()


def test_two_containers_of_one_process_have_different_names_in_the_router() -> None:
    first, second = (Process(letter * 64, 1, 1, WEB, 2, "10.0.0.2", 5000) for letter in "ab")
    assert first.name == second.name == "web.2"
    assert (first.server, second.server) == ("web.2.aaaaaaaaaaaa", "web.2.bbbbbbbbbbbb")
