"""Streamlined NTRU Prime 761 (round 3): the half of it that an SSH server needs, encapsulation.

https://ntruprime.cr.yp.to/nist/ntruprime-20201007.pdf. It is only ever used together with X25519, which keeps the
secret should this arithmetic, which is not made in constant time, tell something about it.
"""

from __future__ import annotations

import hashlib
import secrets

DEGREE = 761  # p: polynomials modulo x^p - x - 1
MODULUS = 4591  # q
WEIGHT = 286  # coefficients of a secret polynomial that are not 0
HALF = (MODULUS - 1) // 2
PUBLIC_KEY_BYTES = 1158

_LIMIT = 16384
_PUBLIC_KEY = [MODULUS] * DEGREE
_ROUNDED = [(MODULUS + 2) // 3] * DEGREE
# A coefficient's room in one large number: the sums of WEIGHT products stay below it.
_SLOT_BYTES = 4


def encapsulate(public_key: bytes) -> tuple[bytes, bytes]:
    """A fresh secret of 32 bytes for whoever has the private key, and the ciphertext that brings it: (secret, ciphertext).

    Raises ValueError for a key of another length.
    """
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError("not an sntrup761 public key")
    plus, minus = _short()
    product = _multiply([item - HALF for item in _decode(public_key, _PUBLIC_KEY)], plus, minus)
    ciphertext = _encode([_rounded(item) for item in product], _ROUNDED)
    sent = _prefixed(3, _small(plus, minus))
    ciphertext += _prefixed(2, sent + _prefixed(4, public_key))
    return _prefixed(1, sent + ciphertext), ciphertext


def _prefixed(number: int, data: bytes) -> bytes:
    return hashlib.sha512(bytes([number]) + data).digest()[:32]


def _short() -> tuple[list[int], list[int]]:
    """Where a random polynomial of WEIGHT coefficients 1 and -1 has them: (places of 1, places of -1)."""
    places = secrets.SystemRandom().sample(range(DEGREE), WEIGHT)
    signs = secrets.randbits(WEIGHT)
    plus = [place for number, place in enumerate(places) if signs >> number & 1]
    return plus, [place for number, place in enumerate(places) if not signs >> number & 1]


def _small(plus: list[int], minus: list[int]) -> bytes:
    """The polynomial in two bits a coefficient."""
    packed = bytearray(-(-DEGREE // 4))
    for place in range(DEGREE):
        packed[place // 4] |= 1 << place % 4 * 2
    for place in plus:
        packed[place // 4] += 1 << place % 4 * 2
    for place in minus:
        packed[place // 4] -= 1 << place % 4 * 2
    return bytes(packed)


def _multiply(many: list[int], plus: list[int], minus: list[int]) -> list[int]:
    """The product of a polynomial and one of 1 and -1, coefficients centred around 0."""
    bits = 8 * _SLOT_BYTES
    # As numbers with a slot a coefficient Python multiplies them fast; no coefficient may be negative there.
    number = int.from_bytes(
        b"".join((item + HALF).to_bytes(_SLOT_BYTES, "little") for item in many), "little"
    )
    products = [
        _slots(number * sum(1 << bits * place for place in places)) for places in (plus, minus)
    ]
    # What the HALF that was added to each coefficient of `many` has added.
    steps = [0] * (2 * DEGREE)
    for places, sign in ((plus, HALF), (minus, -HALF)):
        for place in places:
            steps[place] += sign
            steps[place + DEGREE] -= sign
    found, extra = [], 0
    for first, second, step in zip(*products, steps, strict=True):
        extra += step
        found.append(first - second - extra)
    # x^p is x + 1.
    for place in range(2 * DEGREE - 1, DEGREE - 1, -1):
        found[place - DEGREE] += found[place]
        found[place - DEGREE + 1] += found[place]
    return [(item + HALF) % MODULUS - HALF for item in found[:DEGREE]]


def _slots(number: int) -> list[int]:
    data = number.to_bytes(2 * DEGREE * _SLOT_BYTES, "little")
    return list(memoryview(data).cast("I"))


def _rounded(item: int) -> int:
    """The nearest multiple of 3, as its number among them."""
    return (item - ((item + 1) % 3 - 1) + HALF) // 3


def _encode(values: list[int], limits: list[int]) -> bytes:
    """Numbers below their limits, in hardly more bytes than they need."""
    written = bytearray()
    while len(limits) > 1:
        merged, bounds = [], []
        for place in range(0, len(limits) - 1, 2):
            bound = limits[place] * limits[place + 1]
            value = values[place] + limits[place] * values[place + 1]
            while bound >= _LIMIT:
                written.append(value & 255)
                value, bound = value >> 8, bound + 255 >> 8
            merged.append(value)
            bounds.append(bound)
        odd = len(limits) % 2
        values, limits = merged + values[len(values) - odd :], bounds + limits[len(limits) - odd :]
    value, bound = values[0], limits[0]
    while bound > 1:
        written.append(value & 255)
        value, bound = value >> 8, bound + 255 >> 8
    return bytes(written)


def _decode(data: bytes, limits: list[int]) -> list[int]:
    """What `_encode` wrote; of other data, some numbers below their limits."""
    if len(limits) == 1:
        return [int.from_bytes(data, "little") % limits[0]]
    low, bounds = [], []
    for place in range(0, len(limits) - 1, 2):
        bound, size = limits[place] * limits[place + 1], 0
        while bound >= _LIMIT:
            size, bound = size + 1, bound + 255 >> 8
        low.append((int.from_bytes(data[:size], "little"), 8 * size))
        data = data[size:]
        bounds.append(bound)
    odd = len(limits) % 2
    high = _decode(data, bounds + limits[len(limits) - odd :])
    found = []
    for number, (part, bits) in enumerate(low):
        value = part + (high[number] << bits)
        found += [value % limits[2 * number], value // limits[2 * number] % limits[2 * number + 1]]
    return found + high[len(high) - odd :] if odd else found
