"""Where every process of ours starts: `paas serve`, a command of its own, or the client of a running server."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from paas import interrupts
from paas.errors import USAGE, PaasError
from paas.gateway import command, dispatcher, handover, protocol, serve
from paas.model.caller import Caller
from paas.settings import Listen, Settings


def main() -> int:
    """The installed `paas`: asks the server, as the stub does; without one runs the command in this process."""
    environment = {**os.environb, b"PAAS_PYTHON": os.fsencode(sys.executable)}
    return handover.main([os.fsencode(word) for word in sys.argv], environment)


def run(argv: list[str]) -> int:
    """`python -m paas`: run what `argv` stands for in this process; its exit code."""
    try:
        settings = Settings.from_environment(remembered=argv[1:] != ["serve"])
    except ValueError as error:
        command.complain(str(error))
        return USAGE
    try:
        if argv[1:] == ["serve"]:
            return _serve(settings)
        if argv[1:2] == ["--connection"]:
            _dispatcher(settings).handle(socket.socket(fileno=int(argv[2])))
    except PaasError as error:
        command.complain(*error.lines)
        return error.exit_code
    return _run_here(settings, argv)


def _run_here(settings: Settings, argv: list[str]) -> int:
    """Run one command without a server."""
    environment = dict(os.environb)
    door, key_id, words = handover.invocation([os.fsencode(word) for word in argv], environment)
    request = protocol.decode(
        handover.encode(door, key_id, os.fsencode(_directory()), handover.selected(environment, door), words)[4:]
    )
    inherited = tuple(int(number) for number in os.environ.get("PAAS_DESCRIPTORS", "").split(",") if number)
    descriptors = inherited if door == "hook" else ()
    command.standard_streams()
    command.prepare(settings, request)
    interrupts.install()
    # Nobody is at the other end of a connection here, but somebody may stop reading our output.
    ours, theirs = socket.socketpair()
    interrupts.watch([ours.fileno(), 1])
    command.watch_parent(request, descriptors)
    code = command.run(
        settings,
        _command,
        lambda: command.words_of(request),
        lambda: command.caller_of(request, os.getuid(), command.stored_key_name(settings), descriptors),
    )
    theirs.close()
    return code


def _command(words: list[str], caller: Caller) -> int:
    from paas import cli

    return cli.main(words, caller)


def _dispatcher(settings: Settings, **hooks: Callable[[], None]) -> dispatcher.Dispatcher:
    return dispatcher.Dispatcher(settings, _command, command.stored_key_name(settings), **hooks)


def _serve(settings: Settings) -> int:
    """The supervisor: everything in the foreground. Raises PaasError when something can't be started."""
    from paas import cli

    os.umask(command.UMASK)
    os.environ["PAAS_ROOT"] = str(settings.root)
    cli.warm(settings)
    from paas.agent import main as agent
    from paas.gateway import ssh_server

    requests = dispatcher.listen(settings)
    settings.remember()
    front = _dispatcher(
        settings, prepare=lambda: cli.before_command(settings), rehearse=lambda: cli.rehearse(settings)
    )
    ssh = "off"
    services = [serve.Service("dispatcher", lambda ready: front.run(requests, ready), listener=requests)]
    if settings.ssh_listen is not None:
        connections = ssh_server.listen(settings.ssh_listen)
        ssh = str(Listen(settings.ssh_listen.host, connections.getsockname()[1]))
        server = ssh_server.SshServer(settings, ssh_server.stored_key(settings))
        services.append(
            serve.Service("SSH server", lambda ready: server.run(connections, ready), listener=connections)
        )
    http, router = _router(settings)
    services += router
    services.append(serve.Service("agent", lambda ready: agent.run(settings, ready)))
    command.freeze()
    code = serve.serve(services, f"ssh={ssh} http={http} root={settings.root}")
    settings.socket_path.unlink(missing_ok=True)
    return code


def _router(settings: Settings) -> tuple[str, list[serve.Service]]:
    """Where requests arrive, and HAProxy as a service of ours unless it has one of its own or is missing."""
    from paas.agent.main import new_session
    from paas.router import binary, service

    missing = binary.missing()
    if missing:
        command.complain(f"{missing}; until then each app's web process is published on a loopback port")
        return "off", []
    if settings.router_external:
        return str(settings.http_listen), []
    service.check_port(settings.http_listen, "PAAS_HTTP_LISTEN")
    run = lambda ready: service.run(settings, new_session(settings).routes(), ready)  # noqa: E731
    return str(settings.http_listen), [serve.Service("router", run)]


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(run(sys.argv))
