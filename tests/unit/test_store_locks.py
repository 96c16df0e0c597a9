"""Locks end with the processes that hold them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paas.store.locks import FileLock, held


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def is_free(path: Path) -> bool:
    lock = FileLock(path)
    free = lock.try_acquire()
    lock.release()
    return free


@pytest.fixture
def heir(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A child that inherited the open lock."""
    lock = FileLock(path)
    assert lock.try_acquire()
    with subprocess.Popen(["sleep", "1000"], pass_fds=[lock.descriptor]) as process:
        lock.release()
        yield process
        process.kill()


def test_a_lock_is_held_by_one(path: Path) -> None:
    lock = FileLock(path)
    assert is_free(path)
    assert lock.try_acquire() and lock.try_acquire()
    assert not is_free(path)
    lock.release()
    assert is_free(path)


def test_a_child_goes_on_holding_an_inherited_lock(path: Path, heir: subprocess.Popen[bytes]) -> None:
    assert not is_free(path)


def test_a_killed_child_leaves_no_lock_behind(path: Path, heir: subprocess.Popen[bytes]) -> None:
    heir.send_signal(signal.SIGKILL)
    heir.wait()
    assert is_free(path)


def test_waiting_ends_when_the_holder_does(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from paas.store.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(path)]
    told: list[str] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with held(path, on_wait=lambda: (told.append("waited"), holder.stdin.close())[0]):
            assert not is_free(path)
    assert told == ["waited"]
    assert is_free(path)


def test_a_free_lock_is_not_waited_for(path: Path) -> None:
    def complain() -> None:
        raise AssertionError("there is nobody to wait for")

    with pytest.raises(KeyError), held(path, on_wait=complain):
        assert not is_free(path)
        raise KeyError
    assert is_free(path)
