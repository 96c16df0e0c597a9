"""From a release to serving processes: start the new ones, check them, switch the router, commit, retire the old ones.

A failure before the commit removes what was started and leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paas import interrupts
from paas.deploy import health
from paas.deploy.containers.network import attach_deployed
from paas.deploy.containers.process import ensure_network, process_spec
from paas.deploy.containers.services import ServiceSettings, service_settings
from paas.deploy.retire import drain_seconds, prune_releases, retire_now
from paas.deploy.routing.ports import container_port, ensure_port, udp_options
from paas.deploy.routing.routes import LOOPBACK
from paas.deploy.session import Session
from paas.deploy.switch import switch
from paas.deploy.upkeep.agent_mail import KEEP, RETIRE, tell_agent
from paas.engine import client as engine
from paas.engine import options as docker_options
from paas.engine import patient
from paas.engine.client import connect
from paas.engine.containers import LABEL_OPERATION, LABEL_ROOT, Containers, ContainerSpec
from paas.engine.images import Image
from paas.engine.shared_network import FixedAddresses
from paas.errors import EngineUnavailable, PaasError
from paas.model.names import ProcessType
from paas.model.release import WEB, Formation, Process, Release
from paas.steps import step
from paas.store.apps import App
from paas.store.releases import Retirement

PARALLEL_STARTS = 4
AT_ONCE_KEY = ("scheduler-docker-local", "parallel-schedule-count")
LAST_LOG_LINES = 50
LOOK_SECONDS = 1  # between two looks whether the engine that is waited for still answers


class RolloutFailed(PaasError):
    """Could not start {name}: {reason}. Nothing was changed; the release that served before still does"""


@dataclass
class Rollout:
    """One change of an app's processes: to `formation` of `release`, keeping what `keep` names.

    `commit` stores the outcome; it gets the processes that serve from now on and those to be stopped.
    """

    session: Session
    app: App
    release: Release
    image: Image
    formation: Formation
    operation_id: int
    commit: Callable[[list[Process], list[Retirement]], None]
    keep: list[Process] = field(default_factory=list)
    _abandoned: threading.Event = field(default_factory=threading.Event)
    _paused: list[Process] = field(default_factory=list)
    _policies: dict[ProcessType, dict[str, Any] | None] = field(default_factory=dict)
    _turns: dict[ProcessType, threading.Semaphore] = field(default_factory=dict)
    _port: int = 0
    _fixed: FixedAddresses | None = None

    def run(self) -> None:
        """Do it. Raises RolloutFailed, EngineUnavailable, Cancelled; then nothing has changed."""
        session = self.session
        before = session.releases.processes(self.app.id)
        kept = {process.name: process for process in self.keep}
        kept_ids = {process.container_id for process in self.keep}
        wanted = self._wanted()
        serving = [kept[name] for kind, number in wanted if (name := f"{kind}.{number}") in kept]
        missing = [(kind, number) for kind, number in wanted if f"{kind}.{number}" not in kept]
        overlapping = [item for item in missing if self._overlaps(item[0])]
        self._port = container_port(session, self.app, self.release.manifest)
        if any(kind == WEB for kind, _ in missing):
            ensure_port(session, self.app)
        try:
            started = self._start_all(overlapping)
            if len(overlapping) < len(missing):
                self._pause([item for item in before if item.container_id not in kept_ids])
                started += self._start_all([item for item in missing if item not in overlapping])
            self._check_still_up(started)
            with interrupts.shielded():
                self._switch_and_commit(before, serving + started)
        except BaseException:
            with interrupts.shielded(), step("undo"):
                self._undo()
            raise
        with interrupts.shielded(), step("after"):
            self._after(started)

    def _wanted(self) -> list[tuple[ProcessType, int]]:
        wanted = []
        for kind, count in self.formation.items():
            if count and kind not in self.release.manifest.processes:
                self.session.console.warn(f"Skipping {kind} as it is missing from the current Procfile")
                continue
            wanted += [(kind, number) for number in range(1, count + 1)]
        return sorted(wanted, key=lambda item: (item[0] != WEB, item))

    def _overlaps(self, kind: ProcessType) -> bool:
        """Whether new processes of a type start before the old ones stop: web's, and those set to. Not where they need
        a port of the host for themselves."""
        if kind == WEB and udp_options(self.session, self.app):
            return False
        return service_settings(self.session, self.app.id, kind).zero_downtime

    def _pause(self, processes: list[Process]) -> None:
        """Stop the background processes that are being replaced: two releases never work at the same time. And
        those of types whose zero downtime is disabled."""
        session = self.session
        self._paused = [process for process in processes if not self._overlaps(process.process_type)]
        kinds = dict.fromkeys(process.process_type for process in self._paused)
        for kind in kinds:
            if service_settings(session, self.app.id, kind).checks == "disabled":
                session.console.detail(
                    f"Zero downtime is disabled, stopping currently running containers  ({kind})"
                )
        if WEB in kinds:
            # Whoever asks in the meantime is told so, instead of waiting for a process that is going.
            with session.routing():
                session.apply(session.routes(self.app, []))
        for process in self._paused:
            session.console.detail(f"Stopping {process.name}")
            with step("stop", process.name):
                session.containers.stop(process.container_id)

    def _start_all(self, wanted: list[tuple[ProcessType, int]]) -> list[Process]:
        """Start and check all at once; web's own failure is the one that is told first."""
        if not wanted:
            return []
        session = self.session
        with step("network"):
            self._fixed = ensure_network(session, self.app)
        self._abandoned.clear()
        limits = self.release.manifest.max_parallel
        self._turns = {kind: threading.Semaphore(limit) for kind, limit in limits.items()}
        for kind in dict.fromkeys(kind for kind, _ in wanted):
            count = sum(1 for item in wanted if item[0] == kind)
            session.console.step(f"Deploying {kind} (count={count})")
        pool = ThreadPoolExecutor(min(self._at_once(), len(wanted)))
        progress = session.console.progress("Waiting for health checks")
        futures: list[Future[tuple[Process, list[str]]]] = []
        try:
            jobs = [self._job(kind, number) for kind, number in wanted]
            futures += [pool.submit(copy_context().run, partial(self._start, *job)) for job in jobs]
            waiting = lambda: f"{_passed(futures)} after {progress.seconds():.0f} s"  # noqa: E731
            with patient.watched(session.settings.engine_seconds), progress.ticking(waiting):
                wait(futures, return_when=FIRST_EXCEPTION)
            # A failed one first: the others may still be waiting for their checks.
            futures.sort(key=lambda future: not (future.done() and future.exception()))
            return [self._started(future) for future in futures]
        finally:
            self._abandoned.set()
            pool.shutdown(wait=False, cancel_futures=True)
            # What is being started is in the engine's hands; it has to be there before it can be removed.
            begun = [future for future in futures if not future.cancelled()]
            while wait(begun, LOOK_SECONDS).not_done and engine.answers():
                pass

    def _at_once(self) -> int:
        """How many processes start at the same time: what is set, one after the other for 1."""
        chosen = self.session.properties.computed(self.app.id, *AT_ONCE_KEY, default="")
        return int(chosen) if chosen else PARALLEL_STARTS

    def _job(
        self, kind: ProcessType, number: int
    ) -> tuple[ProcessType, int, ContainerSpec, ServiceSettings, str]:
        """What `_start` needs: a thread does not read the database."""
        count = self.formation[kind]
        spec = process_spec(
            self.session, self.app, self.release, self.image, kind, number, self.operation_id, count, self._fixed
        )
        self._policies[kind] = docker_options.parse(spec.options).restart
        domains = [domain for domain in self.session.apps.domains(self.app) if "*" not in domain]
        service = service_settings(self.session, self.app.id, kind)
        return kind, number, spec, service, domains[0] if domains else "localhost"

    def _started(self, future: Future[tuple[Process, list[str]]]) -> Process:
        try:
            process, warnings = future.result()
        except _NotStarted as failed:
            self._show_logs(failed)
            raise RolloutFailed(name=failed.name, reason=failed.reason) from failed
        for warning in warnings:
            self.session.console.warn(warning)
        if service_settings(self.session, self.app.id, process.process_type).checks == "enabled":
            self.session.console.detail(f"All checks successful ({process.name})")
        else:
            self.session.console.headline(f"Zero downtime checks have been skipped ({process.name})")
        return process

    def _start(
        self, kind: ProcessType, number: int, spec: ContainerSpec, service: ServiceSettings, host: str
    ) -> tuple[Process, list[str]]:
        # A thread has a connection of its own: the library's are not shared.
        turn = self._turns.get(kind, contextlib.nullcontext())
        name, settings = f"{kind}.{number}", self.session.settings
        with (
            turn,
            step("start", name),
            contextlib.closing(connect(settings.docker_host, settings.engine_seconds)) as api,
        ):
            if self._abandoned.is_set():
                raise _NotStarted(name, "", "another process did not start")
            return self._start_with(Containers(api), kind, number, spec, service, host)

    def _start_with(
        self,
        containers: Containers,
        kind: ProcessType,
        number: int,
        spec: ContainerSpec,
        service: ServiceSettings,
        host: str,
    ) -> tuple[Process, list[str]]:
        name = f"{kind}.{number}"
        with step("create", name):
            container = containers.create(spec)
        try:
            with step("run", name):
                containers.start(container, name)
            state = containers.state(container)
            if not state.running:
                raise health.Unhealthy(name=name, reason=health.ending(state))
            address, port = state.address, self._port
            if spec.publish is not None and state.published_port:
                address, port = LOOPBACK, state.published_port
            subject = health.Subject(container, name, address, port, host, self._abandoned)
            warnings = []
            if service.checks == "enabled":
                with step("health", name):
                    warnings = health.check(
                        containers, subject, self.release, kind, self.image.health_test, service
                    )
        except EngineUnavailable:
            raise
        except PaasError as error:
            raise _NotStarted(name, container, str(error.fields.get("reason", error))) from error
        return Process(container, self.app.id, self.release.number, kind, number, address, port), warnings

    def _show_logs(self, failed: _NotStarted) -> None:
        console, title = (
            self.session.console,
            f"{self.app.name} container output ({failed.container[:12]} {failed.name})",
        )
        with contextlib.suppress(PaasError):
            text = self.session.containers.logs(failed.container, LAST_LOG_LINES).decode("utf-8", "replace")
            console.headline(f"Start of {title}")
            for line in text.splitlines():
                console.detail(line)
            console.headline(f"End of {title}")

    def _ended(self, processes: list[Process]) -> list[Process]:
        """Those that do not run any more."""
        labels = {LABEL_ROOT: str(self.session.settings.root), LABEL_OPERATION: str(self.operation_id)}
        up = {state.id for state in self.session.containers.states(labels) if state.up}
        return [process for process in processes if process.container_id not in up]

    def _check_still_up(self, started: list[Process]) -> None:
        """Some wait longer for their checks than others: what ended meanwhile must not get requests."""
        if len(started) < 2:
            return
        for process in self._ended(started):
            if process.process_type == WEB:
                failed = _NotStarted(process.name, process.container_id, "it ended after its checks")
                self._show_logs(failed)
                raise RolloutFailed(name=failed.name, reason=failed.reason)

    def _switch_and_commit(self, before: list[Process], serving: list[Process]) -> None:
        session = self.session
        names = {process.container_id for process in serving}
        due = int(time.time()) + drain_seconds(session, self.app)
        retired = [
            Retirement(process.container_id, self.app.id, self.app.slot, process.server, due)
            for process in before
            if process.container_id not in names
        ]
        with session.routing():
            # Where those that are kept are by now.
            now = {process.container_id: process for process in session.releases.processes(self.app.id)}
            serving = [now.get(process.container_id, process) for process in serving]
            switch(session, self.app, serving, lambda: self._commit(serving, retired))

    def _commit(self, serving: list[Process], retired: list[Retirement]) -> None:
        self.commit(serving, retired)
        self.session.operations.commit(self.operation_id)

    def _undo(self) -> None:
        """Put the router back and remove what was started, as far as the engine lets us now; the rest is the
        agent's (orphans.py)."""
        session = self.session
        labels = {LABEL_ROOT: str(session.settings.root), LABEL_OPERATION: str(self.operation_id)}
        known = {process.container_id for process in session.releases.processes(self.app.id)}
        with contextlib.suppress(PaasError, OSError):
            session.reroute()
        for process in self._paused:
            with contextlib.suppress(PaasError):
                session.containers.start(process.container_id, process.name)
        with contextlib.suppress(PaasError):
            for container in session.containers.ids(labels):
                if container not in known:
                    session.containers.remove(container)

    def _after(self, started: list[Process]) -> None:
        """From now on the agent keeps new processes alive and stops old ones; without one it is done here and now."""
        session = self.session
        for process in started:
            self._keep(process)
        try:
            attach_deployed(session, self.app, started)
        except PaasError as error:
            session.console.warn(f"{error}. The release serves; network:rebuild {self.app.name} tries again")
        if notify_agent(session):
            return
        try:
            retire_now(session, self.app)
            app = session.apps.by_id(self.app.id)
            if app:
                prune_releases(session, app)
        except PaasError as error:
            session.console.warn(f"The old processes are not stopped yet ({error}); the next command does it")

    def _keep(self, process: Process) -> None:
        """Have the engine start a process again when it ends; one that has ended since its checks passed is started."""
        session, container = self.session, process.container_id
        policy = self._policies[process.process_type]
        # If it is not heard, the agent brings back what ends all the same.
        if tell_agent(session.settings, f"{KEEP} {container} {json.dumps(policy)}"):
            return
        with contextlib.suppress(PaasError):
            session.containers.set_restart_policy(container, policy)
            if not session.containers.state(container).running:
                session.containers.start(container, process.name)


class _NotStarted(Exception):
    """A process that did not come up; its container is still there to be read."""

    def __init__(self, name: str, container: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.container = container
        self.reason = reason


def notify_agent(session: Session) -> bool:
    """Tell the agent that there is something to retire. Returns whether one runs."""
    return tell_agent(session.settings, RETIRE)


def _passed(futures: list[Future[tuple[Process, list[str]]]]) -> str:
    return f"{sum(future.done() for future in futures)} of {len(futures)} passed"
