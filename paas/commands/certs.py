"""certs:* — an app's certificate and private key."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from paas.commands.base import AppArgument, Group, recorded, session, the_app
from paas.deploy.routing.certificates import MAX_ARCHIVE_BYTES, NoArchive, from_archive, from_files
from paas.deploy.routing.reroute import rerouted
from paas.errors import PaasError
from paas.model.access import MANAGE, Role
from paas.model.certificate import Certificate, moment, self_signed
from paas.model.names import printable
from paas.router.routes import covers
from paas.store.apps import App

group = Group("certs", "Manage SSL (TLS) certs")

# What is asked on a terminal, by the letters of a certificate's subject.
QUESTIONS = {
    "C": "Country (2 letters)",
    "ST": "State or province",
    "L": "City",
    "O": "Organization",
    "OU": "Department",
    "emailAddress": "E-mail address",
}
_DOMAIN = re.compile(
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

CrtArgument = Annotated[
    str, typer.Argument(metavar="[CRT", show_default=False, help="Else a tar on standard input")
]
KeyArgument = Annotated[str, typer.Argument(metavar="KEY]", show_default=False)]
DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", show_default=False)]
PartArgument = Annotated[str, typer.Argument(metavar="crt|key", show_default=False)]


class NoEndpoint(PaasError):
    """An app-specific SSL endpoint is not defined"""


class NothingToShow(PaasError):
    """{app} doesn't have an SSL endpoint defined"""


class WhichPart(PaasError):
    """specify either 'key' or 'crt'"""


class InvalidDomain(PaasError):
    """Invalid domain: {text}. Give a host name such as www.example.com or *.example.com. Nothing was changed"""


class InvalidCountry(PaasError):
    """Invalid country: {text}. Give its two letters, or nothing. Nothing was changed"""


class HasOne(PaasError):
    """{app} has a certificate already. Nothing was changed. Take it away first with certs:remove {app}"""


@group.command("add", "update", needs=MANAGE.unless(Role.ADMIN, "crt", "key"))
def add(app: AppArgument = "", crt: CrtArgument = "", key: KeyArgument = "") -> None:
    """Store an app's certificate and key, from files of the host or a tar on standard input."""
    found = the_app(app)
    if crt:
        certificate = from_files(crt, key)
    else:
        if sys.stdin.isatty():
            raise NoArchive()
        certificate = from_archive(sys.stdin.buffer.read(MAX_ARCHIVE_BYTES + 1))
    _store(found, certificate, "certs:add")


def _store(app: App, certificate: Certificate, kind: str) -> None:
    console = session().console
    with recorded(app, kind, " ".join(certificate.names)), rerouted(session()):
        session().certificates.set(app, certificate)
    console.step(
        f"Stored the certificate of {app.name}: {' '.join(certificate.names) or certificate.subject}"
    )
    console.detail(
        f"Valid until {moment(certificate.expires_at)}, issued by {certificate.issuer or 'nobody named'}"
    )
    for text in certificate.warnings:
        console.warn(text)
    if not any(covers(certificate.names, domain) for domain in session().apps.domains(app)):
        console.warn(f"None of its names is a domain of {app.name}: nobody gets it. See domains:report {app.name}")


@group.command("generate", needs=MANAGE)
def generate(app: AppArgument = "", domain: DomainArgument = "") -> None:
    """Make a self-signed certificate, and a request for one by an authority."""
    found = the_app(app)
    if len(domain) > 253 or not _DOMAIN.fullmatch(domain.lower()):
        raise InvalidDomain(text=printable(domain))
    if session().certificates.has(found):
        raise HasOne(app=found.name)
    certificate, request = self_signed(domain.lower(), _asked())
    _store(found, certificate, "certs:generate")
    session().console.step(
        "Certificate signing request, for an authority; then certs:update with its answer and this key"
    )
    session().console.print(request.rstrip())


def _asked() -> dict[str, str]:
    """What somebody at a terminal wants in the subject; nothing where nobody can be asked."""
    if not sys.stdin.isatty():
        return {}
    answers: dict[str, str] = {}
    for letters, question in QUESTIONS.items():
        session().console.out.write(f"{question} []: ")
        session().console.out.flush()
        answers[letters] = printable(sys.stdin.readline().strip(), 64)
    if answers["C"] and not re.fullmatch("[A-Za-z]{2}", answers["C"]):
        raise InvalidCountry(text=answers["C"])
    return answers | {"C": answers["C"].upper()}


@group.command("remove", needs=MANAGE)
def remove(app: AppArgument = "") -> None:
    """Forget an app's certificate and key."""
    found = the_app(app)
    if not session().certificates.has(found):
        raise NoEndpoint()
    with recorded(found, "certs:remove"), rerouted(session()):
        session().certificates.remove(found)
    session().console.step(f"Removed the certificate of {found.name}")


@group.command("show", needs=MANAGE)
def show(app: AppArgument = "", part: PartArgument = "") -> None:
    """Print an app's certificate or its key."""
    found = the_app(app)
    if part not in ("crt", "key"):
        raise WhichPart()
    certificate = session().certificates.find(found)
    if certificate is None:
        raise NothingToShow(app=found.name)
    session().console.print((certificate.chain if part == "crt" else certificate.key).rstrip("\n"))
