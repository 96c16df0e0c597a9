"""checks:run: the checks of a rollout, run against the processes that serve."""

from __future__ import annotations

import threading

from paas.console import WARNING
from paas.deploy import health
from paas.deploy.changes import release_image
from paas.deploy.containers.services import service_settings
from paas.deploy.routing import checks
from paas.deploy.session import Session
from paas.errors import PaasError
from paas.model.names import printable
from paas.model.release import Check, Process
from paas.store.apps import App


class UnknownType(PaasError):
    """Invalid process type specified ({name})"""


class UnknownProcess(PaasError):
    """Invalid container id specified ({name})"""


def run_checks(session: Session, app: App, names: list[str]) -> int:
    """Check the processes named (``web``, ``web.1``; none: all that serve) and say what came out.

    Returns how many checks failed that do not only warn. Raises UnknownType and UnknownProcess.
    """
    release = session.releases.current(app)
    image = release_image(session, release)
    failed = 0
    for process in _chosen(session, app, names):
        session.console.step(f"Running checks for app ({app.name}.{process.name})")
        service = service_settings(session, app.id, process.process_type)
        if checks.state_of(session, app.id, process.process_type) != "enabled":
            session.console.headline(f"Zero downtime checks have been skipped ({process.name})")
            continue
        plan = health.plan(release, process.process_type, image.health_test, service)
        failures = sum(_run(session, process, item, _host(session, app)) for item in plan)
        failed += failures
        if failures:
            noun = "check" if failures == 1 else "checks"
            session.console.print(f"{WARNING}{failures} failed {noun} ({process.name})")
        else:
            session.console.detail(f"All checks successful ({process.name})")
    return failed


def _run(session: Session, process: Process, item: Check, host: str) -> bool:
    """Whether it failed, and is not one that only warns."""
    console = session.console
    console.detail(f"Running healthcheck name='{printable(item.name)}' {health.describe(item, process.port)}")
    subject = health.Subject(
        process.container_id, process.name, process.address, process.port, host, threading.Event()
    )
    try:
        health.run(session.containers, subject, item)
    except PaasError as error:
        # It is a result, which belongs between the others: standard output.
        reason = error.fields.get("reason", error)
        console.print(f"{WARNING}Failure in name='{printable(item.name)}': {reason}")
        return not item.warn_only
    console.detail(f"Healthcheck succeeded name='{printable(item.name)}'")
    return False


def _host(session: Session, app: App) -> str:
    return next((domain for domain in session.apps.domains(app) if "*" not in domain), "localhost")


def _chosen(session: Session, app: App, names: list[str]) -> list[Process]:
    serving = session.releases.processes(app.id)
    if not names:
        return serving
    chosen: dict[str, Process] = {}
    for name in names:
        found = [item for item in serving if name in (item.process_type, item.name)]
        if not found:
            kind, dot, _ = name.partition(".")
            known = any(item.process_type == kind for item in serving)
            error = UnknownProcess if dot and known else UnknownType
            raise error(name=f"{app.name}.{printable(name)}")
        chosen |= {item.name: item for item in found}
    return list(chosen.values())
