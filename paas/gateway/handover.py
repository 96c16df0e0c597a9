"""What stub.py, the program behind `paas`, sshd's forced command and the git hooks, does: it asks the dispatcher and waits.

It needs nothing but the interpreter's built-in modules, because start-up time is all it costs: `os`, `socket` and
`signal` alone would double it. It sends one request with its own descriptors to
``$PAAS_ROOT/run/paas.sock``, forwards the signals it gets, and exits as the command did. Without a server the
same command runs in this very process, under the real interpreter.

    stub.py WORD…               a user on the host
    stub.py -H HOST WORD…       the same user, who means another host
    stub.py --ssh KEYID         sshd's forced command; the words are in SSH_ORIGINAL_COMMAND
    stub.py git-hook APP        a git hook, with PAAS_DOOR=hook; the key is in PAAS_KEY_ID
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    Environment = dict[bytes, bytes]

# The program to start for all of this.
PROGRAM = __file__.rpartition("/")[0] + "/stub.py"
ROOT_INSTALL = b"/var/lib/paas"
SUN_PATH_BYTES = 107
MAX_REQUEST_BYTES = 4 << 20
MAX_DESCRIPTORS = 16
REPLY_BYTES = 4096
KILLED = "The command's process was killed. `paas operations` tells what became of it"
FORWARDED = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGWINCH)

_DIGITS = b"0123456789"
_WORD = _DIGITS + b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-_+=:"
# Variables that pass at every door: which characters they may hold, and how many.
_SHARED = {
    b"TERM": (_WORD, 64),
    b"COLUMNS": (_DIGITS, 5),
    b"LINES": (_DIGITS, 5),
    b"GIT_PROTOCOL": (_WORD, 200),
}
_HOOK = (
    b"GIT_QUARANTINE_PATH",
    b"GIT_OBJECT_DIRECTORY",
    b"GIT_ALTERNATE_OBJECT_DIRECTORIES",
    b"PAAS_CALLER",
    b"PAAS_DESCRIPTORS",
)
_HOOK_PREFIX = b"GIT_PUSH_OPTION_"
_NOT_RUNNING = (2, 20, 111)  # ENOENT, ENOTDIR, ECONNREFUSED: no server, as opposed to one that refuses


def root_directory(env: Environment) -> bytes:
    """The state directory, as paas.settings finds it."""
    root = env.get(b"PAAS_ROOT")
    if root:
        return root if root.startswith(b"/") else posix.getcwdb() + b"/" + root
    if posix.geteuid() == 0:
        return ROOT_INSTALL
    return (env.get(b"XDG_STATE_HOME") or env.get(b"HOME", b"/") + b"/.local/state") + b"/paas"


def with_socket_path(directory: bytes, use: Callable[[bytes], None]) -> None:
    """Call `use` with the path of the socket in `directory`, one that fits into a sockaddr_un."""
    path = directory + b"/paas.sock"
    if len(path) <= SUN_PATH_BYTES:
        return use(path)
    descriptor = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        return use(b"/proc/self/fd/%d/paas.sock" % descriptor)
    finally:
        posix.close(descriptor)


def connect(root: bytes) -> _socket.socket:
    """A connection to the dispatcher of `root`. Raises OSError when none answers."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        with_socket_path(root + b"/run", connection.connect)
    except BaseException:
        connection.close()
        raise
    return connection


def selected(env: Environment, door: str) -> Environment:
    """Of `env`, the variables that a command from `door` may see."""
    chosen = {}
    for name, (alphabet, length) in _SHARED.items():
        value = env.get(name)
        if value and len(value) <= length and not value.strip(alphabet):
            chosen[name] = value
    if door == "hook":
        for name, value in env.items():
            if name in _HOOK or name.startswith(_HOOK_PREFIX):
                chosen[name] = value
    return chosen


def encode(door: str, key_id: bytes, directory: bytes, env: Environment, words: list[bytes]) -> bytes:
    """One request: its length in 4 bytes, then fields, each as ``length:bytes``. protocol.decode reads it.

    Raises ValueError when it is longer than MAX_REQUEST_BYTES.
    """
    fields = [door.encode(), key_id, directory, b"%d" % len(env)]
    fields += [name + b"=" + value for name, value in env.items()]
    fields += words
    body = b"".join([b"%d:%b" % (len(field), field) for field in fields])
    if len(body) > MAX_REQUEST_BYTES:
        raise ValueError("the command is longer than 4 MB")
    return len(body).to_bytes(4, "big") + body


def send(connection: _socket.socket, request: bytes, descriptors: list[int]) -> None:
    """Send `request` and with its first bytes the open `descriptors`. Where nobody reads any more there is a reply."""
    packed = b"".join([descriptor.to_bytes(4, sys.byteorder) for descriptor in descriptors])
    try:
        sent = connection.sendmsg([request], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
        connection.sendall(request[sent:])
    except BrokenPipeError:
        pass  # Refused unread, or all was sent and the command is over: to send even nothing fails then.


def invocation(argv: list[bytes], env: Environment) -> tuple[str, bytes, list[bytes]]:
    """Door, key id (empty on the host) and words of the command that `argv` stands for."""
    if len(argv) == 3 and argv[1] == b"--ssh":
        return "ssh", argv[2], [env.get(b"SSH_ORIGINAL_COMMAND", b"")]
    if argv[1:2] == [b"git-hook"] and env.get(b"PAAS_DOOR") == b"hook":
        return "hook", env.get(b"PAAS_KEY_ID", b""), argv[1:]
    return "host", b"", argv[1:]


def arguments() -> list[bytes]:
    """This process's words, as they came."""
    encoding = sys.getfilesystemencoding()
    return [word.encode(encoding, "surrogateescape") for word in sys.argv]


def main(argv: list[bytes], env: Environment) -> int:
    """Run the command that `argv` stands for at the dispatcher, or else here; its exit code."""
    root = root_directory(env)
    open_standard_descriptors()
    door, key_id, words = invocation(argv, env)
    if door == "host" and words[:1] and words[0].startswith(b"-H"):
        become(env, [b"paas.client", *words])
    if door == "host" and _names_key_file(words):
        # The service's user may not be able to read the caller's file, so the caller opens it.
        try:
            _become_standard_input(words.pop())
        except OSError as error:
            return _complain(f"{error.filename.decode('utf-8', 'replace')}: {error.strerror}")
        argv = argv[:1] + words
    if words[:1] == [b"serve"]:
        run_here(argv, env, root)
    try:
        connection = connect(root)
    except OSError as error:
        if error.errno not in _NOT_RUNNING:
            return _complain(f"{root.decode('utf-8', 'replace')}/run/paas.sock: {error.strerror}")
        run_here(argv, env, root)
    descriptors = [0, 1, 2]
    if door == "hook":
        descriptors += [int(number) for number in env.get(b"PAAS_DESCRIPTORS", b"").split(b",") if number]
    try:
        request = encode(door, key_id, _working_directory(), selected(env, door), words)
    except ValueError as error:
        return _complain(str(error))
    for number in FORWARDED:
        _signal.signal(number, lambda number, _frame: _forward(connection, number))
    try:
        send(connection, request, descriptors)
    except OSError as error:
        return _complain(f"the command could not be handed over: {error.strerror}")
    return _wait(connection)


def _forward(connection: _socket.socket, number: int) -> None:
    try:  # noqa: SIM105 (contextlib would have to be imported)
        connection.send(bytes([number]))
    except OSError:
        pass  # The command has ended meanwhile; its exit code is on its way.


def _wait(connection: _socket.socket) -> int:
    """The exit code: the reply's first byte. What may follow is for standard error."""
    try:
        reply = connection.recv(REPLY_BYTES)
    except ConnectionResetError:
        reply = b""
    if not reply:
        return _complain(KILLED)
    if reply[1:]:
        posix.write(2, reply[1:])
    return reply[0]


def run_here(argv: list[bytes], env: Environment, root: bytes) -> NoReturn:
    """Become the interpreter that runs the same command without a server, as the owner of `root`."""
    env = {**env, b"PAAS_ROOT": root}
    _become_owner(root, env)
    become(env, [b"paas", *argv[1:]])


def become(env: Environment, words: list[bytes]) -> NoReturn:
    """Go on as one of our modules, `words` are its name and its arguments, in the real interpreter."""
    top = _parent(_parent(_parent(_real_path(__file__.encode("utf-8", "surrogateescape")))))
    candidates = [env.get(b"PAAS_PYTHON", b""), top + b"/venv/bin/python", top + b"/.venv/bin/python"]
    found = [path for path in candidates if path and posix.access(path, 1)]
    interpreter = found[:1] or [b"/usr/bin/env", b"python3"]
    # -P: a directory named paas where the caller stands is not ours.
    posix.execve(interpreter[0], [*interpreter, b"-P", b"-m", *words], {**env, b"PYTHONPATH": top})


def _become_owner(root: bytes, env: Environment) -> None:
    """Files that root leaves in another user's state directory would break the service."""
    try:
        owner = posix.stat(root).st_uid
    except OSError:
        return
    if posix.geteuid() != 0 or owner == 0:
        return
    import pwd

    try:
        user = pwd.getpwuid(owner)
    except KeyError:
        return
    posix.initgroups(user.pw_name, user.pw_gid)
    posix.setgid(user.pw_gid)
    posix.setuid(user.pw_uid)
    env[b"HOME"] = user.pw_dir.encode("utf-8", "surrogateescape")


def open_standard_descriptors() -> None:
    """Put /dev/null where standard input, output or error are closed."""
    for descriptor in range(3):
        try:
            posix.fstat(descriptor)
        except OSError:
            # The lowest free number is the missing one.
            posix.set_inheritable(posix.open("/dev/null", posix.O_RDWR), True)


def _names_key_file(words: list[bytes]) -> bool:
    """Whether these are ``ssh-keys:add [--role ROLE:APP]… NAME FILE``."""
    rest = words[1:] if words[:1] == [b"ssh-keys:add"] else []
    while rest[:1] and rest[0].startswith(b"--role"):
        rest = rest[2 if rest[0] == b"--role" else 1 :]
    return len(rest) == 2 and rest[1] != b"-" and not rest[0].startswith(b"-")


def _become_standard_input(path: bytes) -> None:
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    posix.dup2(descriptor, 0)
    posix.close(descriptor)


def _working_directory() -> bytes:
    try:
        return posix.getcwdb()
    except OSError:
        return b""


def _real_path(path: bytes) -> bytes:
    descriptor = posix.open(path, posix.O_PATH | posix.O_CLOEXEC)
    try:
        return posix.readlink(b"/proc/self/fd/%d" % descriptor)
    finally:
        posix.close(descriptor)


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def _complain(text: str) -> int:
    posix.write(2, f" !     {text}\n".encode("utf-8", "surrogateescape"))
    return 1
