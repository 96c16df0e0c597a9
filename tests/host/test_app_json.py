"""app.json where the engine is the judge."""

from __future__ import annotations

import itertools
import json

import docker
from support.doors import Door
from support.repo import Repo


def test_no_more_of_a_type_start_at_once_than_app_json_says(
    host: Door, repo: Repo, engine: docker.DockerClient
) -> None:
    document = {
        "formation": {"web": {"quantity": 3, "max_parallel": 1}, "ghost": {"quantity": 1}},
        "healthchecks": {"web": [{"uptime": 1}]},
    }
    repo.write({"Dockerfile": "FROM paas-test/web\n", "app.json": json.dumps(document)})
    repo.commit("First")
    pushed = repo.push(host.remote("inturn"), "main:master", host.git_env())
    assert pushed.code == 0, pushed.err
    assert "Skipping ghost as it is missing from the current Procfile" in pushed.err
    labels = {"label": [f"paas.root={host.paas.root}", "paas.app=inturn"]}
    containers = engine.containers.list(filters=labels)
    assert len(containers) == 3
    started = sorted(item.attrs["State"]["StartedAt"][17:26] for item in containers)
    seconds = [float(text) for text in started]
    pauses = [(b - a) % 60 for a, b in itertools.pairwise(seconds)]
    assert all(pause >= 0.9 for pause in pauses), started
