"""The agent's loop: it waits for Docker's events and for commands' messages, and for the next container to be retired,
task to be started or certificate to be renewed, and for a quiet moment where the router wants one.

At its start, and whenever the engine comes back, it undoes what killed operations left, starts what should run, and
brings the router in step.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from paas.agent.command import command
from paas.agent.reconcile import note, reconcile
from paas.agent.renewals import RUNS_AT_ONCE, Renewals
from paas.agent.restock import Restock
from paas.agent.revive import Revivals
from paas.agent.schedule import STARTED_AT_ONCE, Schedule
from paas.agent.sweep import Sweeper
from paas.console import Console
from paas.deploy.build_cache import trim_now_and_then
from paas.deploy.containers.network import note_states
from paas.deploy.containers.run_containers import LABEL_RUN
from paas.deploy.retire import prune_releases, retire
from paas.deploy.session import Session
from paas.deploy.upkeep.agent_mail import CERTIFICATES, CLEAN, ENDED, KEEP, MESSAGE_BYTES, REMOVE
from paas.deploy.upkeep.housekeeping import packing_is_due
from paas.engine.client import connect
from paas.engine.containers import LABEL_ROOT
from paas.engine.events import events
from paas.errors import EngineUnavailable, PaasError
from paas.model.caller import Caller
from paas.settings import Settings

RETRY_SECONDS = 0.5
DRAIN_POLL_SECONDS = 0.2
RETIRING_APPS_AT_ONCE = 4
IDLE_SECONDS = 3600.0

RECONCILE = "reconcile"
REROUTE = "reroute"
SWEEP = "sweep"
STARTED = "start"

Message = tuple[str, str]


def new_session(settings: Settings) -> Session:
    """A session of the agent; it speaks to nobody but the service's log."""
    return Session(settings, Caller("agent", "host"), Console(out=sys.stderr, err=sys.stderr, quiet=True))


def run(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until the process is ended."""
    inbox: queue.Queue[Message] = queue.Queue()
    mailbox = _open_mailbox(settings)
    threading.Thread(target=_read_mailbox, args=(mailbox, inbox), daemon=True).start()
    threading.Thread(target=_read_events, args=(settings, inbox), daemon=True).start()
    threading.Thread(target=_watch_router, args=(settings, inbox), daemon=True).start()
    session = new_session(settings)
    on_ready()
    pool = ThreadPoolExecutor(RETIRING_APPS_AT_ONCE)
    retiring: dict[int, Future[None]] = {}
    revivals = Revivals()
    sweeper = Sweeper()
    restock = Restock()
    schedule, starting = Schedule(), ThreadPoolExecutor(STARTED_AT_ONCE)
    renewals, renewing = Renewals(), ThreadPoolExecutor(RUNS_AT_ONCE)
    reconciling = ThreadPoolExecutor(1)
    while True:
        waiting = {item.app_id for item in session.releases.retirements()}
        for app_id in waiting:
            if app_id not in retiring or retiring[app_id].done():
                retiring[app_id] = pool.submit(_retire_app, settings, app_id)
        with _reported():
            schedule.update(session)
        with _reported():
            restock.look(session)
        with contextlib.suppress(queue.Empty):
            often = RETRY_SECONDS if waiting else IDLE_SECONDS
            jobs = (revivals, schedule, sweeper, restock, renewals)
            waits = [often, *(job.next_due() for job in jobs)]
            kind, subject = inbox.get(timeout=min(item for item in waits if item is not None))
            with _reported():
                if kind == RECONCILE:
                    # At first only a look, so that the router knows at once what runs; starting the rest takes longer.
                    reconciling.submit(_reconcile, settings)
                    sweeper.clean_now()
                    note_states(session)
                elif kind == REROUTE:
                    session.reroute()
                elif kind in (STARTED, ENDED):
                    note(session, subject)
                    if kind == ENDED:
                        revivals.ended(session, subject)
                elif kind == KEEP:
                    container, _, policy = subject.partition(" ")
                    session.containers.set_restart_policy(container, json.loads(policy))
                    # Of an end since its checks was heard before it was known that it serves.
                    revivals.ended(session, container)
                elif kind == REMOVE:
                    session.containers.remove(subject)
                elif kind == SWEEP:
                    sweeper.look_now()
                elif kind == CLEAN:
                    sweeper.clean_now()
                elif kind == CERTIFICATES:
                    renewals.look_now()
        with _reported():
            revivals.start_due(session)
        with _reported():
            sweeper.sweep_due(session)
        with _reported():
            schedule.start_due(session, starting)
        with _reported():
            restock.reload_due(session)
        with _reported():
            renewals.start_due(session, renewing, lambda: inbox.put((CERTIFICATES, "")))


def _reconcile(settings: Settings) -> None:
    with _reported(), contextlib.closing(new_session(settings)) as session:
        while True:
            try:
                return reconcile(session)
            except EngineUnavailable as error:
                # One that hangs and then goes on tells nobody that it is back.
                print(f"agent: {error}", file=sys.stderr, flush=True)
                time.sleep(RETRY_SECONDS)


def _retire_app(settings: Settings, app_id: int) -> None:
    """Retire what the app has waiting, then forget releases beyond those that are kept, and pack its repository."""
    with _reported():
        session = new_session(settings)
        # A request may have been given to a process in the instant before the switch and not be counted yet.
        time.sleep(DRAIN_POLL_SECONDS)
        while waiting := session.releases.retirements(app_id):
            if not all(list(map(partial(retire, session), waiting))):
                time.sleep(DRAIN_POLL_SECONDS)
        app = session.apps.by_id(app_id)
        if app:
            prune_releases(session, app)
            if packing_is_due(session, app):
                refused = command(settings, "agent", "repo:gc", app.name)
                if refused is not None:
                    print(f"agent: packing the repository of {app.name}: {refused}", file=sys.stderr, flush=True)
        trim_now_and_then(session)
        session.database.close()


@contextlib.contextmanager
def _reported():  # type: ignore[no-untyped-def]
    """What fails is said in the service's log and tried again at the next event; the agent goes on."""
    try:
        yield
    except PaasError as error:
        print(f"agent: {error}", file=sys.stderr, flush=True)


def _open_mailbox(settings: Settings) -> socket.socket:
    path = settings.run_dir / "agent.sock"
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    mailbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    mailbox.bind(str(path))
    path.chmod(0o600)
    return mailbox


def _read_mailbox(mailbox: socket.socket, inbox: queue.Queue[Message]) -> None:
    while True:
        kind, _, subject = mailbox.recv(MESSAGE_BYTES).decode("ascii", "replace").partition(" ")
        inbox.put((kind, subject))


def _watch_router(settings: Settings, inbox: queue.Queue[Message]) -> None:
    """A router that starts has read its files some time ago: what has changed since, it has to be told."""
    for _ in new_session(settings).router.starts():
        inbox.put((REROUTE, ""))


def _read_events(settings: Settings, inbox: queue.Queue[Message]) -> None:
    filters = {"type": "container", "event": [STARTED, ENDED], "label": f"{LABEL_ROOT}={settings.root}"}
    while True:
        with (
            contextlib.suppress(PaasError),
            contextlib.closing(connect(settings.docker_host, settings.engine_seconds)) as api,
        ):
            for event in events(api, filters):
                if event is None:
                    # From now on every start is told, so nothing can slip between the look around and the listening.
                    inbox.put((RECONCILE, ""))
                    continue
                ours = event.get("Actor", {}).get("Attributes", {})
                inbox.put((SWEEP if LABEL_RUN in ours else str(event["status"]), str(event["id"])))
        time.sleep(RETRY_SECONDS)
