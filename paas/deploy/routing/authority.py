"""A certificate authority, asked by ACME (RFC 8555): an account, then one order a domain, verified by HTTP.

The router answers the authority's questions by itself, from the account's thumbprint. What an order goes through is
`acme`'s own (certbot's library); here is what it leaves to its caller: errors as reasons, and when to come back.
"""

from __future__ import annotations

import datetime
import email.utils
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from paas import __version__
from paas.errors import PaasError
from paas.model.names import printable

if TYPE_CHECKING:
    import requests
    from acme.client import ClientV2
    from acme.messages import Directory, OrderResource, RegistrationResource
    from josepy.jwk import JWKEC

REQUEST_SECONDS = 20
DECIDING_SECONDS = 90  # for the verification, and again for the certificate
NONCE_TRIES = 5
REASON_LENGTH = 400
BUSY = (429, 503)
LONGEST_WAIT_SECONDS = 7 * 24 * 3600.0


class AuthorityFailed(PaasError):
    """{reason}"""

    def __init__(self, reason: str, wait_until: float = 0.0) -> None:
        """`wait_until`: before then (epoch seconds) the authority does not want to be asked again."""
        super().__init__(reason=printable(reason, REASON_LENGTH).rstrip("."))
        self.wait_until = wait_until


def new_key() -> str:
    """A private key (P-256), PEM."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def thumbprint(key: str) -> str:
    """What the router answers with for the account of a private key (PEM)."""
    from josepy.b64 import b64encode

    return b64encode(_jwk(key).thumbprint()).decode()


@dataclass(frozen=True)
class Authority:
    """A directory, and an account there. `ca` is the file of what may vouch for its server, empty for what the machine
    trusts."""

    url: str
    ca: str
    key: str
    directory: Directory
    account: RegistrationResource

    @classmethod
    def connect(cls, url: str, ca: str, key: str, mail: str, told: bool = False) -> Authority:
        """Make the account of `key` (PEM), or find it. `told`: it was told this e-mail address before.

        Raises AuthorityFailed.
        """
        from acme import errors, messages
        from acme.client import ClientV2

        net = _network(key, ca)
        with _reasons(net, url):
            directory = ClientV2.get_directory(url, net)
            client = ClientV2(directory, net)
            contact = (f"mailto:{mail}",) if mail else ()
            wanted = messages.NewRegistration(contact=contact, terms_of_service_agreed=True)
            try:
                account = client.new_account(wanted)
            except errors.ConflictError as known:
                found = messages.RegistrationResource(body=messages.Registration(), uri=known.location)
                update = messages.Registration(contact=contact)
                account = found if told else client.update_registration(found, update)
        return cls(url, ca, key, directory, account)

    def issue(self, domain: str) -> tuple[bytes, bytes]:
        """A new certificate with its chain, and its private key, both PEM. Takes seconds, minutes at the most; may be
        called by several threads at once. Raises AuthorityFailed."""
        from acme.client import ClientV2
        from acme.crypto_util import make_csr

        net = _network(self.key, self.ca)
        net.account = self.account
        client = ClientV2(self.directory, net)
        private = new_key().encode()
        with _reasons(net, self.url):
            order = client.new_order(make_csr(private, [domain]))
            self._answer(client, order)
            order = client.poll_authorizations(order, _deadline())
            order = client.finalize_order(order, _deadline())
        return order.fullchain_pem.encode(), private

    def _answer(self, client: ClientV2, order: OrderResource) -> None:
        """Tell the authority to ask the router."""
        from acme import challenges, messages

        for authorization in order.authorizations:
            if authorization.body.status == messages.STATUS_VALID:
                continue
            for item in authorization.body.challenges:
                if isinstance(item.chall, challenges.HTTP01):
                    client.answer_challenge(item, item.chall.response(client.net.key))
                    break
            else:
                raise AuthorityFailed("The authority does not verify this name by HTTP")


def _jwk(key: str) -> JWKEC:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from josepy.jwk import JWKEC

    return JWKEC(key=load_pem_private_key(key.encode(), None))


def _deadline() -> datetime.datetime:
    return datetime.datetime.now() + datetime.timedelta(seconds=DECIDING_SECONDS)


def _network(key: str, ca: str) -> Any:
    from acme import client, messages
    from josepy.jwa import ES256

    class Network(client.ClientNetwork):
        """Knows how long a busy authority wants to be left alone, and tries stale nonces again."""

        wait_until = 0.0

        def _send_request(self, *args: Any, **kwargs: Any) -> requests.Response:
            response = super()._send_request(*args, **kwargs)
            self.wait_until = 0.0
            if response.status_code in BUSY:
                self.wait_until = retry_after(response.headers.get("Retry-After", ""), time.time())
            return response

        def post(self, *args: Any, **kwargs: Any) -> requests.Response:
            for left in reversed(range(NONCE_TRIES)):
                try:
                    return self._post_once(*args, **kwargs)
                except messages.Error as error:
                    if error.code != "badNonce" or not left:
                        raise
            raise AssertionError

    net = Network(_jwk(key), alg=ES256, user_agent=f"paas/{__version__}", timeout=REQUEST_SECONDS)
    net.verify_ssl = ca or _trusted()  # type: ignore[assignment]  # what requests takes there
    return net


def _trusted() -> str | bool:
    """What this machine trusts (SSL_CERT_FILE where it is set), else the list that came with `requests`."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return paths.cafile
    return paths.capath if paths.capath and any(Path(paths.capath).iterdir()) else True


def retry_after(text: str, now: float) -> float:
    """When a Retry-After header says to come back, in epoch seconds; 0 for none that can be read."""
    try:
        when = now + int(text) if text.strip().isdigit() else email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(when, now + LONGEST_WAIT_SECONDS)


@contextmanager
def _reasons(net: Any, url: str) -> Iterator[None]:
    """Whatever `acme`, `josepy` and `requests` raise as AuthorityFailed."""
    import josepy
    import requests
    from acme import errors, messages

    host = urlsplit(url).netloc
    try:
        yield
    except errors.ValidationError as error:
        raise AuthorityFailed(_verdict(error)) from None
    except errors.IssuanceError as error:
        raise AuthorityFailed(f"The authority refused: {_problem(error.error)}") from None
    except errors.TimeoutError:
        raise AuthorityFailed(f"{host} did not decide in {DECIDING_SECONDS} s") from None
    except messages.Error as error:
        raise AuthorityFailed(f"The authority refused: {_problem(error)}", net.wait_until) from None
    except requests.exceptions.SSLError as error:
        text = f"The certificate of {host} is not trusted ({_cause(error)}). See certs:set --global acme-ca"
        raise AuthorityFailed(text) from None
    except (requests.exceptions.RequestException, OSError) as error:
        raise AuthorityFailed(f"{host} can't be reached ({_cause(error)})") from None
    except (errors.Error, josepy.errors.Error, KeyError, AttributeError, TypeError, ValueError) as error:
        text = f"{host} gave an answer that is not ACME's ({type(error).__name__})"
        raise AuthorityFailed(text, net.wait_until) from None


def _problem(error: Any) -> str:
    return str(error.detail or error.title or error.typ)


def _verdict(error: Any) -> str:
    """What the authority saw when it asked for a domain's file."""
    found = [
        _problem(item.error)
        for authorization in error.failed_authzrs
        for item in authorization.body.challenges
        if item.error is not None
    ]
    return f"The authority could not verify it: {found[0] if found else 'it gave no reason'}"


def _cause(error: BaseException) -> str:
    """The words of the innermost error: the outer ones repeat them, with addresses of objects."""
    inner: Any = error
    while True:
        inside = inner.__cause__ or getattr(inner, "reason", None) or (inner.args[0] if inner.args else None)
        if not isinstance(inside, BaseException):
            break
        inner = inside
    return str(getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or inner)
