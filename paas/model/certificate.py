"""A certificate with its chain and its private key, as PEM: read, checked, made."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from paas.errors import PaasError
from paas.model.names import printable

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

SELF_SIGNED_DAYS = 365
WEAK_RSA_BITS = 2048


class InvalidCertificate(PaasError):
    """The CRT file holds no certificate in PEM form ({reason}). Nothing was changed. It begins with -----BEGIN CERTIFICATE-----"""


class InvalidKey(PaasError):
    """The KEY file holds no private key in PEM form ({reason}). Nothing was changed. It begins with -----BEGIN PRIVATE KEY----- or the like"""


class KeyDoesNotFit(PaasError):
    """The private key does not belong to the certificate{hint}. Nothing was changed. Give the key that the certificate was requested with"""


@dataclass(frozen=True)
class Certificate:
    """What is served for some names. `chain` is the PEM text as it was given, the server's own certificate first,
    `key` its private key; neither `repr` nor `str` tells it. Times are UTC."""

    chain: str
    key: str = field(repr=False)
    names: tuple[str, ...]
    subject: str
    issuer: str
    starts_at: datetime.datetime
    expires_at: datetime.datetime
    self_signed: bool
    warnings: tuple[str, ...]

    @property
    def bundle(self) -> str:
        """Chain and key in one text, as a server loads them."""
        return f"{self.chain.rstrip()}\n{self.key.rstrip()}\n"

    @classmethod
    def parse(cls, chain: bytes, key: bytes) -> Certificate:
        """Raises InvalidCertificate, InvalidKey, KeyDoesNotFit."""
        certificates = _certificates(chain)
        private = _private_key(key)
        if _public(private.public_key()) != _public(certificates[0].public_key()):
            fits = any(
                _public(private.public_key()) == _public(item.public_key()) for item in certificates[1:]
            )
            raise KeyDoesNotFit(
                hint=", only to a later one of the file: the server's own comes first" if fits else ""
            )
        own = certificates[0]
        return cls(
            chain=_text(chain),
            key=_text(key),
            names=_names(own),
            subject=_written(own.subject),
            issuer=_written(own.issuer),
            starts_at=own.not_valid_before_utc,
            expires_at=own.not_valid_after_utc,
            self_signed=_issued(own, own),
            warnings=tuple(_warnings(certificates, private)),
        )


def self_signed(domain: str, subject: dict[str, str]) -> tuple[Certificate, str]:
    """A certificate for a domain that signs itself, and the request (PEM) for one by an authority.

    `subject` has the other parts of the name by their letters: C, ST, L, O, OU, emailAddress; empty ones are left out.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    letters = {
        "C": NameOID.COUNTRY_NAME,
        "ST": NameOID.STATE_OR_PROVINCE_NAME,
        "L": NameOID.LOCALITY_NAME,
        "O": NameOID.ORGANIZATION_NAME,
        "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "emailAddress": NameOID.EMAIL_ADDRESS,
    }
    parts = [x509.NameAttribute(oid, subject[name]) for name, oid in letters.items() if subject.get(name)]
    # A common name has 64 characters at the most; the alternative name is what counts.
    name = x509.Name(
        [*parts, *([x509.NameAttribute(NameOID.COMMON_NAME, domain)] if len(domain) <= 64 else [])]
    )
    names = x509.SubjectAlternativeName([x509.DNSName(domain)])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    request = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, critical=False)
    return (
        Certificate.parse(
            made.public_bytes(Encoding.PEM),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ),
        request.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode(),
    )


def _certificates(chain: bytes) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise InvalidCertificate(reason=_reason(error)) from None
    if b"PRIVATE KEY-----" in chain:
        # It would be shown with the certificate.
        raise InvalidCertificate(reason="a private key is in it too; that belongs into the KEY file")
    return found


def _private_key(key: bytes) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(key, None)
    except TypeError:
        reason = "it is encrypted with a passphrase; take that off first, for example with openssl pkey"
        raise InvalidKey(reason=reason) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey(reason=_reason(error)) from None


def _reason(error: Exception) -> str:
    """What a parser said, on one line; never a part of what it read."""
    return "it can't be parsed" if "PEM" in str(error) else printable(str(error), 100).rstrip(".")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _public(key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return data


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The common name and the alternative ones, sorted."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = {str(item.value) for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found |= set(names.get_values_for_type(x509.DNSName))
        found |= {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return tuple(sorted(found))


def _written(name: x509.Name) -> str:
    return "; ".join(f"{item.rfc4514_attribute_name}={printable(str(item.value))}" for item in name)


def _issued(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _warnings(certificates: list[x509.Certificate], private: PrivateKeyTypes) -> list[str]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    own, now, found = certificates[0], datetime.datetime.now(datetime.UTC), []
    if own.not_valid_after_utc < now:
        found.append(f"The certificate expired on {moment(own.not_valid_after_utc)}")
    if own.not_valid_before_utc > now:
        found.append(f"The certificate is not valid before {moment(own.not_valid_before_utc)}")
    for number, (one, by) in enumerate(itertools.pairwise(certificates), 1):
        if not _issued(one, by):
            found.append(f"Certificate {number + 1} of the file did not issue certificate {number}")
    if isinstance(private, RSAPrivateKey) and private.key_size < WEAK_RSA_BITS:
        found.append(f"The key has {private.key_size} bits only: many clients refuse it")
    return found


def moment(when: datetime.datetime) -> str:
    """``Sep  7 14:11:50 2026 GMT``, as OpenSSL writes it."""
    return when.strftime("%b %e %H:%M:%S %Y GMT")


def moment_of(seconds: float) -> str:
    """The same of epoch seconds."""
    return moment(datetime.datetime.fromtimestamp(seconds, datetime.UTC))
