"""Aptible's `deploy`: image, credentials, config and git reference changed in one operation and one release, or not at all."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from paas.deploy import source
from paas.deploy.operation import operation
from paas.deploy.pipeline import Change, NewServices, announce_deploy, deploy
from paas.deploy.session import Session
from paas.deploy.source import Source
from paas.deploy.sources.registry import IMAGE_KEY, PASSWORD_KEY, USERNAME_KEY, Credentials
from paas.errors import PaasError
from paas.model.image import ImageRef
from paas.model.names import printable
from paas.model.operation import MASK
from paas.store.apps import App


class NothingToDeploy(PaasError):
    """You need to deploy either from git or a Docker image"""


class Incompatible(PaasError):
    """The options --git-commitish and --git-detach are incompatible"""


class DifferentValues(PaasError):
    """The options {option} and {variable} cannot be set to different values"""


class NoSuchReference(PaasError):
    """{app}'s repository has no branch, tag or commit {reference}. Nothing was changed. Push it first, for example: git push <remote> HEAD:{reference}"""


@dataclass(frozen=True)
class DeployRequest:
    """What `deploy` was asked for. None means not given; an empty text unsets what is stored."""

    docker_image: str | None = None
    username: str | None = None
    password: str | None = None
    commitish: str | None = None
    detach: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    services: NewServices = field(default_factory=lambda: NewServices(usual=1))

    def __repr__(self) -> str:
        return f"DeployRequest({self.docker_image!r}, …)"

    def settings(self) -> dict[str, str]:
        """All variables to change, options and VAR=VALUE together. Raises DifferentValues."""
        values = dict(self.variables)
        for option, variable, given in (
            ("--docker-image", IMAGE_KEY, self.docker_image),
            ("--private-registry-username", USERNAME_KEY, self.username),
            ("--private-registry-password", PASSWORD_KEY, self.password),
        ):
            if given is None:
                continue
            if variable in values and values[variable] != given:
                raise DifferentValues(option=option, variable=variable)
            values[variable] = given
        return values


def run(session: Session, app: App, request: DeployRequest) -> None:
    """Do it. Everything that can be refused is, before anything is recorded or changed."""
    if request.detach and request.commitish:
        raise Incompatible()
    settings = request.settings()
    config = _changed(session.config(app).all(), settings)
    Credentials.of(config)
    _source(session, app, request, config)
    with operation(session, app, "deploy", _words(request, settings)) as running:
        session.console.step(f"Deploying {app.name}...")
        app = running.app
        # Once more: what was waited for may have changed it.
        config = _changed(session.config(app).all(), settings)
        found = _source(session, app, request, config)

        def also() -> None:
            if request.detach or request.commitish:
                source.attach(session, app, attached=not request.detach)

        deploy(session, running, Change(found, config, request.services, also))
        announce_deploy(session, running.app)


def _changed(config: dict[str, str], settings: dict[str, str]) -> dict[str, str]:
    """An empty value removes a variable."""
    return {key: value for key, value in (config | settings).items() if value or key not in settings}


def _source(session: Session, app: App, request: DeployRequest, config: dict[str, str]) -> Source:
    """The image and the commit. Raises NothingToDeploy, NoSuchReference, InvalidImage."""
    image = ImageRef.parse(config[IMAGE_KEY]) if config.get(IMAGE_KEY) else None
    if request.detach:
        commit = None
    elif request.commitish:
        commit = session.repository(app).find(request.commitish)
        if commit is None:
            raise NoSuchReference(app=app.name, reference=printable(request.commitish))
    else:
        commit = source.attached_commit(session, app)
    if image is None and commit is None:
        raise NothingToDeploy()
    return Source(commit, image)


def _words(request: DeployRequest, settings: dict[str, str]) -> str:
    """For the operation's record: no values but the image's name and the reference."""
    words = ["--docker-image", shlex.quote(request.docker_image)] if request.docker_image is not None else []
    words += ["--git-detach"] if request.detach else []
    words += ["--git-commitish", printable(request.commitish)] if request.commitish else []
    words += [f"{key}={MASK}" for key in settings if key != IMAGE_KEY or request.docker_image is None]
    return " ".join(words)
