"""What the router knows of an app's requests: the newest ones as a log, and counts."""

from __future__ import annotations

import datetime
from dataclasses import asdict

from paas.deploy.session import Session
from paas.errors import PaasError
from paas.router.requests import PERCENTILES, Request, Traffic
from paas.store.apps import App

NOTHING = Traffic(dict.fromkeys(range(1, 6), 0), 0, 0, 0, 0)
METRICS = (
    ("paas_requests_total", "counter", "Answers by the first digit of their status"),
    ("paas_request_retries_total", "counter", "Requests that were sent to another process"),
    ("paas_received_bytes_total", "counter", "Bytes of requests"),
    ("paas_sent_bytes_total", "counter", "Bytes of answers"),
    ("paas_requests_active", "gauge", "Requests in progress"),
    ("paas_request_milliseconds", "gauge", "Time of the newest requests at percentiles"),
    ("paas_processes", "gauge", "Processes that are to run"),
)


class NoRouter(PaasError):
    """There are no requests to show: {reason}"""


def show_requests(session: Session, app: App, lines: int, follow: bool, as_json: bool) -> None:
    """Print the newest requests of an app and, with `follow`, those to come. Raises NoRouter."""
    if session.router.missing is not None:
        raise NoRouter(reason=session.router.missing)
    # A slot may have been another app's before.
    own = [request for request in session.router.requests(app.slot) if request.at >= app.created_at]
    for request in own[-lines:] if lines else ():
        _print(session, request, as_json)
    if follow:
        for request in session.router.follow_requests(app.slot):
            _print(session, request, as_json)


def _print(session: Session, request: Request, as_json: bool) -> None:
    moment = datetime.datetime.fromtimestamp(request.at, datetime.UTC)
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    # The process without its container; the router answered by itself where there is none.
    process = request.server.rpartition(".")[0] or "router"
    if as_json:
        session.console.json(asdict(request) | {"at": time, "process": process})
        return
    session.console.print(
        f"{time} router[{process}]: {request.client} {request.host} \"{request.line}\" {request.status}"
        f" {request.bytes}B queue={request.queued_ms}ms response={request.response_ms}ms total={request.total_ms}ms"
        f" {request.ending}"
    )


def _traffic(session: Session, apps: list[App]) -> dict[int, Traffic]:
    return session.router.traffic(apps[0].slot if len(apps) == 1 else None)


def prometheus(session: Session, apps: list[App]) -> str:
    """The text that Prometheus scrapes; counts are those since the router's worker started."""
    traffic = _traffic(session, apps)
    samples: dict[str, list[str]] = {name: [] for name, _, _ in METRICS}
    for app in apps:
        found = traffic.get(app.slot, NOTHING)
        label = f'app="{app.name}"'
        for digit, count in found.answers.items():
            samples["paas_requests_total"].append(f'{{{label},code="{digit}xx"}} {count}')
        samples["paas_request_retries_total"].append(f"{{{label}}} {found.retries}")
        samples["paas_received_bytes_total"].append(f"{{{label}}} {found.bytes_in}")
        samples["paas_sent_bytes_total"].append(f"{{{label}}} {found.bytes_out}")
        samples["paas_requests_active"].append(f"{{{label}}} {found.active}")
        for share, value in zip(PERCENTILES, found.percentiles, strict=False):
            samples["paas_request_milliseconds"].append(f'{{{label},quantile="{share / 100}"}} {value}')
        for process_type, count in session.apps.formation(app).items():
            samples["paas_processes"].append(f'{{{label},type="{process_type}"}} {0 if app.stopped else count}')
    lines = []
    for name, kind, text in METRICS:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{sample}" for sample in samples[name]]
    return "\n".join(lines)


def as_rows(session: Session, apps: list[App]) -> list[dict[str, object]]:
    """The same by app."""
    traffic = _traffic(session, apps)
    return [{"app": app.name, **summary(traffic.get(app.slot, NOTHING))} for app in apps]


def summary(traffic: Traffic) -> dict[str, object]:
    """What a report says: counts, the share of errors, milliseconds."""
    rate = traffic.errors / traffic.requests if traffic.requests else 0.0
    times = dict(zip((f"p{share}_ms" for share in PERCENTILES), traffic.percentiles, strict=False))
    return {
        "requests": traffic.requests,
        "errors": traffic.errors,
        "error_rate": round(rate, 4),
        "active": traffic.active,
        **times,
    }
