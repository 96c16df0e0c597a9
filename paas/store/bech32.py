"""Bech32 (BIP 173), in which age writes its keys."""

from __future__ import annotations

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
CHECKSUM_LETTERS = 6
KEY_BYTES = 32


class NotBech32(ValueError):
    """What was given is no key in this form."""


def decode(prefix: str, text: str) -> bytes:
    """The 32 bytes of a key whose text begins with `prefix` and ``1``. Raises NotBech32."""
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise NotBech32
    human, separator, letters = text.lower().rpartition("1")
    if human != prefix or not separator or any(letter not in ALPHABET for letter in letters):
        raise NotBech32
    values = [ALPHABET.index(letter) for letter in letters]
    expanded = [*(ord(c) >> 5 for c in human), 0, *(ord(c) & 31 for c in human)]
    if _polymod([*expanded, *values]) != 1:
        raise NotBech32
    bits = 0
    for value in values[:-CHECKSUM_LETTERS]:
        bits = bits << 5 | value
    padding = 5 * (len(values) - CHECKSUM_LETTERS) - 8 * KEY_BYTES
    if not 0 <= padding < 5 or bits & ((1 << padding) - 1):
        raise NotBech32
    return (bits >> padding).to_bytes(KEY_BYTES, "big")


def _polymod(values: list[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for position, generator in enumerate(GENERATORS):
            check ^= generator if top >> position & 1 else 0
    return check
