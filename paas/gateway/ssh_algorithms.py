"""What the embedded SSH server speaks: key exchange that a quantum computer doesn't break, AES-GCM, nothing older."""

from __future__ import annotations

import hashlib
from typing import Any

import paramiko
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from paramiko.message import Message

from paas.gateway import sntrup761

X25519_BYTES = 32
_INIT, _REPLY = 30, 31


class Sntrup761X25519:
    """``sntrup761x25519-sha512``, which OpenSSH takes first from 8.5 (2021) to 9.8 and which paramiko has not got."""

    name = "sntrup761x25519-sha512"
    hash_algo = staticmethod(hashlib.sha512)  # paramiko derives the keys with it

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def start_kex(self) -> None:
        self.transport._expect_packet(_INIT)

    def parse_next(self, kind: int, message: Message) -> None:
        """Answer the client's two public keys. Raises SSHException."""
        transport = self.transport
        asked = message.get_string()
        if kind != _INIT or len(asked) != sntrup761.PUBLIC_KEY_BYTES + X25519_BYTES:
            raise paramiko.SSHException("not a key exchange of this kind")
        own = X25519PrivateKey.generate()
        theirs = X25519PublicKey.from_public_bytes(asked[sntrup761.PUBLIC_KEY_BYTES :])
        try:
            # cryptography refuses a point of small order.
            classic = own.exchange(theirs)
        except ValueError as error:
            raise paramiko.SSHException(str(error)) from None
        secret, ciphertext = sntrup761.encapsulate(asked[: sntrup761.PUBLIC_KEY_BYTES])
        answered = ciphertext + own.public_key().public_bytes_raw()
        shared = self.hash_algo(secret + classic).digest()
        host_key = transport.get_server_key()
        hashed = Message()
        hashed.add(
            transport.remote_version,
            transport.local_version,
            transport.remote_kex_init,
            transport.local_kex_init,
        )
        for part in (host_key.asbytes(), asked, answered, shared):
            hashed.add_string(part)
        digest = self.hash_algo(hashed.asbytes()).digest()
        transport._set_K_H(shared, digest)
        reply = Message()
        reply.add_byte(bytes([_REPLY]))
        reply.add_string(host_key.asbytes())
        reply.add_string(answered)
        reply.add_string(host_key.sign_ssh_data(digest, transport.host_key_type))
        transport._send_message(reply)
        transport._activate_outbound()


_KEY_EXCHANGES: dict[str, Any] = {
    **paramiko.Transport._kex_info,  # type: ignore[attr-defined]
    "sntrup761x25519-sha512": Sntrup761X25519,
    "sntrup761x25519-sha512@openssh.com": Sntrup761X25519,
}
# An older library of cryptography has no ML-KEM.
_HYBRID = ("mlkem768x25519-sha256", "sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com")


class Transport(paramiko.Transport):
    """paramiko's, with today's algorithms only. Clients that know none of them come in through the machine's OpenSSH."""

    _kex_info = _KEY_EXCHANGES
    _preferred_kex = tuple(name for name in _HYBRID if name in _KEY_EXCHANGES)
    # GCM first and for OpenSSH alone: its client would take the slower aes128-ctr if it were offered.
    _preferred_ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
    _preferred_macs = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com")
    _preferred_keys = ("ssh-ed25519",)
