"""The Docker Engine of the tests, and how what paas left in it goes away.

`python -m support.engine` in tests/ removes what killed test runs left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import docker
import docker.errors

ROOT_LABEL = "paas.root"
TEST_ROOTS = ("/tmp/paas-test-", "/tmp/pytest-")


def remove_everything_of(client: docker.DockerClient, is_ours: Callable[[str], bool]) -> None:
    """Remove the containers, images and networks whose `paas.root` label satisfies `is_ours`."""
    labelled = {"label": ROOT_LABEL}
    api = client.api
    for container in api.containers(all=True, filters=labelled):
        if is_ours(container["Labels"][ROOT_LABEL]):
            with contextlib.suppress(docker.errors.NotFound):
                api.remove_container(container["Id"], force=True, v=True)
    for image in api.images(all=True, filters=labelled):
        if is_ours((image["Labels"] or {}).get(ROOT_LABEL, "")):
            with contextlib.suppress(docker.errors.APIError):
                api.remove_image(image["Id"], force=True)
    for network in api.networks(filters=labelled):
        if is_ours(network["Labels"][ROOT_LABEL]):
            with contextlib.suppress(docker.errors.NotFound):
                # A test's own container may be on a network of network:create.
                for container in api.inspect_network(network["Id"])["Containers"] or ():
                    api.disconnect_container_from_network(container, network["Id"], force=True)
                api.remove_network(network["Id"])


def remove_tags_of(client: docker.DockerClient, root_id: str) -> None:
    """Remove image tags that carry an installation's id, for images that could not be labelled."""
    for image in client.api.images():
        for tag in image["RepoTags"] or []:
            if root_id in tag:
                with contextlib.suppress(docker.errors.APIError):
                    client.api.remove_image(tag)


if __name__ == "__main__":
    remove_everything_of(docker.from_env(), lambda root: root.startswith(TEST_ROOTS))
