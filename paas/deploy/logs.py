"""Reading what an app's containers print, several at once, each line with its time and process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

from paas.deploy.session import Session
from paas.engine.client import connect, engine_errors, patience
from paas.errors import PaasError
from paas.model.release import Process
from paas.store.apps import App

COLORS = (36, 33, 32, 35, 31)
MAX_QUEUED_CHUNKS = 1000


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
    # Said here: to a reader, an engine that does not answer looks like a container that went away.
    connect(session.settings.docker_host).close()
    chunks: queue.Queue[bytes | None] = queue.Queue(MAX_QUEUED_CHUNKS)
    for index, process in enumerate(chosen):
        color = COLORS[index % len(COLORS)]
        reader = threading.Thread(
            target=_read, args=(session, process, lines, follow, bare, color, chunks), daemon=True
        )
        reader.start()
    left = len(chosen)
    while left:
        chunk = chunks.get()
        if chunk is None:
            left -= 1
        else:
            session.console.raw(chunk)


def _read(
    session: Session,
    process: Process,
    lines: int,
    follow: bool,
    bare: bool,
    color: int,
    chunks: queue.Queue[bytes | None],
) -> None:
    mark = b"" if bare else f"app[{process.name}]:".encode()
    try:
        for line in _lines(session, process, lines, follow, not bare):
            if bare:
                chunks.put(line + b"\n")
            else:
                moment, _, text = line.partition(b" ")
                chunks.put(b"\x1b[%dm%s %s\x1b[0m %s\n" % (color, moment, mark, text))
    except PaasError:
        pass  # the container went away; the others' lines go on
    finally:
        chunks.put(None)


def _lines(session: Session, process: Process, lines: int, follow: bool, times: bool) -> Iterator[bytes]:
    rest = b""
    api = connect(session.settings.docker_host)
    with contextlib.closing(api), engine_errors(), patience(api):
        stream = api.logs(process.container_id, stream=True, follow=follow, tail=lines, timestamps=times)
        for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line.rstrip(b"\r") for line in whole)
    if rest:
        yield rest
