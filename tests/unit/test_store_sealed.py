"""What is sealed opens with the right key, whole, here and with age's own library; everything else is noticed."""

from __future__ import annotations

import io
import os

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paas.store.sealed import (
    BadIdentity,
    BadRecipient,
    Damaged,
    Identity,
    Lock,
    NotSealed,
    Opener,
    Passphrase,
    Recipient,
    Sealer,
    WrongKey,
)

CHUNK = 65536
EASY = Passphrase("a passphrase", work_factor=2)
KEY = pyrage.x25519.Identity.generate()
RECIPIENT = Recipient.parse(str(KEY.to_public()))
IDENTITY = Identity.parse_file(f"# made by a test\n\n{KEY}\n")[0]
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK)


def sealed(data: bytes, *locks: Lock, step: int = 10_000) -> bytes:
    out = io.BytesIO()
    sealer = Sealer(out, locks or (EASY,))
    for start in range(0, len(data), step):
        sealer.write(data[start : start + step])
    sealer.close()
    return out.getvalue()


def opened(data: bytes, *locks: Lock, step: int = 100_000) -> bytes:
    opener = Opener(io.BytesIO(data), lambda: locks or (EASY,))
    found = b""
    while part := opener.read(step):
        found += part
    return found


@pytest.mark.parametrize("size", SIZES)
def test_it_is_age_s_format(size: int) -> None:
    data = os.urandom(size)
    assert pyrage.decrypt(sealed(data, RECIPIENT), [KEY]) == data
    assert opened(pyrage.encrypt(data, [KEY.to_public()]), IDENTITY) == data
    assert pyrage.passphrase.decrypt(sealed(data), EASY.text) == data
    assert opened(sealed(data, RECIPIENT, Recipient(os.urandom(32))), IDENTITY, step=77) == data


def test_what_age_seals_with_a_passphrase() -> None:
    assert opened(pyrage.passphrase.encrypt(b"hello", "größer"), Passphrase("größer")) == b"hello"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2 * CHUNK + 400), st.integers(0, 7), st.sampled_from((10, CHUNK + 5)))
def test_every_flipped_bit_is_noticed(position: int, bit: int, size: int) -> None:
    whole = bytearray(sealed(bytes(size)))
    whole[position % len(whole)] ^= 1 << bit
    with pytest.raises((Damaged, NotSealed, WrongKey)):
        opened(bytes(whole))


@pytest.mark.parametrize("size", SIZES)
def test_every_cut_is_noticed(size: int) -> None:
    whole = sealed(bytes(size))
    chunks = range(len(whole), 0, -(CHUNK + 16))
    for length in {0, 1, 10, 60, 200, len(whole) - 1, len(whole) - 16, *chunks} - {len(whole)}:
        if 0 <= length < len(whole):
            with pytest.raises((Damaged, NotSealed)):
                opened(whole[:length])
    with pytest.raises(Damaged):
        opened(whole + b"\0")


def test_chunks_in_another_order_are_noticed() -> None:
    whole = sealed(bytes(3 * CHUNK))
    start = len(whole) - 3 * (CHUNK + 16)
    one, two = whole[start : start + CHUNK + 16], whole[start + CHUNK + 16 : start + 2 * (CHUNK + 16)]
    with pytest.raises(Damaged):
        opened(whole[:start] + two + one + whole[start + 2 * (CHUNK + 16) :])


def test_the_wrong_key_opens_nothing() -> None:
    for lock in (Passphrase("another", work_factor=2), IDENTITY):
        with pytest.raises(WrongKey, match="Nothing was changed"):
            opened(sealed(b"x"), lock)
    with pytest.raises(WrongKey):
        opened(sealed(b"x", RECIPIENT), EASY)


def test_a_head_that_asks_for_too_much_is_not_obeyed() -> None:
    data = sealed(b"x").replace(b" 2\n", b" 40\n", 1)
    with pytest.raises(WrongKey):
        opened(data)
    with pytest.raises((Damaged, NotSealed)):
        opened(b"age-encryption.org/v1\n" + b"-> scrypt " + b"a" * 100_000)
    with pytest.raises((Damaged, NotSealed)):
        opened(b"age-encryption.org/v1\n" + b"-> x\nYQ\n" * 1000)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_is_refused(data: bytes) -> None:
    for text in (data, b"age-encryption.org/v1\n" + data):
        with pytest.raises((Damaged, NotSealed, WrongKey)):
            opened(text)


@pytest.mark.parametrize("text", ["", "age1", "age1" + "q" * 58, str(KEY), str(KEY.to_public())[:-1] + "b", "age1é"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(BadRecipient):
        Recipient.parse(text)


@pytest.mark.parametrize("text", ["", "# nothing", "AGE-SECRET-KEY-1QQQ", str(KEY.to_public())])
def test_what_is_no_private_key(text: str) -> None:
    with pytest.raises(BadIdentity):
        Identity.parse_file(text)


def test_secrets_are_not_shown() -> None:
    assert "passphrase" not in repr(EASY) and str(IDENTITY.private) not in repr(IDENTITY)
