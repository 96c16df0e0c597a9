"""Reading what an app's containers print, several at once, each line with its time and process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from paas.console import harmless
from paas.deploy.session import Session
from paas.engine.client import connect, engine_errors, limit
from paas.engine.patient import watched
from paas.errors import EngineUnavailable, PaasError
from paas.store.apps import App

COLORS = (36, 33, 32, 35, 31)
MAX_QUEUED_CHUNKS = 1000
# Operations back from now among which the last failed one is looked for.
LOOKED_AT = 500

# Lines, None at the end of one container's, or why there are no more.
Chunks = queue.Queue[bytes | EngineUnavailable | None]


class NoSuchProcess(PaasError):
    """No process matches '{wanted}'. {app} runs: {known}"""


def show(session: Session, app: App, wanted: str, lines: int, follow: bool, bare: bool) -> None:
    """Print the last `lines` of each process (``web``, ``web.1``, or all), and with `follow` what comes next."""
    processes = session.releases.processes(app.id)
    chosen = [item for item in processes if not wanted or wanted in (item.process_type, item.name)]
    if not chosen:
        if not wanted:
            session.console.warn(f"No process of {app.name} runs. See ps:report {app.name}")
            return
        raise NoSuchProcess(
            wanted=wanted, app=app.name, known=" ".join(item.name for item in processes) or "nothing"
        )
    stream(session, [(item.name, item.container_id) for item in chosen], lines, follow, bare)


def stream(session: Session, sources: list[tuple[str, str]], lines: int, follow: bool, bare: bool) -> None:
    """Print what containers say, given as (name for the line's beginning, id), all at the same time."""
    # Said here: to a reader, an engine that does not answer looks like a container that went away.
    connect(session.settings.docker_host, session.settings.engine_seconds).close()
    chunks: Chunks = queue.Queue(MAX_QUEUED_CHUNKS)
    for index, (name, container) in enumerate(sources):
        color = COLORS[index % len(COLORS)]
        reader = threading.Thread(
            target=_read, args=(session, name, container, lines, follow, bare, color, chunks), daemon=True
        )
        reader.start()
    left = len(sources)
    with watched(session.settings.engine_seconds):
        while left:
            chunk = chunks.get()
            if chunk is None:
                left -= 1
            elif isinstance(chunk, EngineUnavailable):
                raise chunk
            else:
                session.console.raw(chunk)


def _read(
    session: Session,
    name: str,
    container: str,
    lines: int,
    follow: bool,
    bare: bool,
    color: int,
    chunks: Chunks,
) -> None:
    mark = b"" if bare else f"app[{name}]:".encode()
    try:
        for line in _lines(session, container, lines, follow, not bare):
            if bare:
                chunks.put(line + b"\n")
            else:
                moment, _, text = line.partition(b" ")
                chunks.put(b"\x1b[%dm%s %s\x1b[0m %s\n" % (color, moment, mark, text))
    except EngineUnavailable as error:
        chunks.put(error)
    except PaasError:
        pass  # the container went away; the others' lines go on
    finally:
        chunks.put(None)


def _lines(session: Session, container: str, lines: int, follow: bool, times: bool) -> Iterator[bytes]:
    rest = b""
    api = connect(session.settings.docker_host, session.settings.engine_seconds)
    # What comes next may come in a week; whether somebody is there to tell it, `stream` watches.
    with contextlib.closing(api), engine_errors(), limit(api, None if follow else api.timeout):
        stream = api.logs(container, stream=True, follow=follow, tail=lines, timestamps=times)
        for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (harmless(line.rstrip(b"\r")) for line in whole)
    if rest:
        yield harmless(rest)


def show_failed(session: Session, app: App) -> None:
    """Print what the app's last deploy that failed has said, the failing container's last lines with it."""
    session.console.header(f"{app.name} failed deploy logs")
    for record in session.operations.recent(app, LOOKED_AT):
        path = session.operations.log_path(record.id)
        if record.status == "failed" and path.exists() and path.stat().st_size:
            session.console.raw(path.read_bytes())
            return
