"""certs:*: what is taken, what is refused, what is shown, and that the key is unreadable at rest."""

from __future__ import annotations

import datetime
import io
import json
import stat
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from support.in_process import Commands, Said

from paas.model.certificate import Certificate, self_signed
from paas.settings import Settings

DAY = datetime.timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pem(private: Key, password: bytes | None = None) -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def certificate(
    name: str = "web1.localhost",
    names: Iterable[str] = (),
    private: Key | None = None,
    issuer: str | None = None,
    days: tuple[int, int] = (-1, 30),
) -> str:
    """A certificate for a key of the same name; signed by `issuer`'s key, else by its own."""
    now = datetime.datetime.now(datetime.UTC)
    private = private or key(name)

    def subject(text: str) -> x509.Name:
        return x509.Name(
            [x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
        )

    return (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(subject(issuer or name))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(item) for item in names]), critical=False)
        .sign(key(issuer) if issuer else private, hashes.SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )


def archive(*entries: tuple[str, str], link: tuple[str, str] | None = None) -> str:
    """A tar as standard input has it; `link` adds a symbolic link."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, text in entries:
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(info)
    return file.getvalue().decode("utf-8", "surrogateescape")


def with_a_hole(name: str, size: int) -> str:
    """A tar with one file that is said to have `size` bytes, all of them zeros that are not in it."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (size, 0)
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return (bytes(header) + bytes(1024)).decode("utf-8", "surrogateescape")


def test_a_file_with_a_hole_is_not_filled(paas_command: Commands) -> None:
    """Attack: a thousand bytes that would be eight gigabytes in memory."""
    said = paas_command("certs:add", "web1", stdin=archive(PRIVATE)[: -10240 + 1024] + with_a_hole("server.crt", 8**11 - 1))
    assert (said.code, said.err) == (1, " !     The .crt file is larger than 1048576 bytes\n")


@pytest.fixture(autouse=True)
def web1(paas_command: Commands) -> None:
    assert paas_command("apps:create", "web1").code == 0


@pytest.fixture
def add(paas_command: Commands, tmp_path: Path):  # type: ignore[no-untyped-def]
    """`add(crt, key)`: certs:add with these texts in files."""

    def run(crt: str, private: str, name: str = "certs:add") -> Said:
        (tmp_path / "server.crt").write_text(crt)
        (tmp_path / "server.key").write_text(private)
        return paas_command(name, "web1", str(tmp_path / "server.crt"), str(tmp_path / "server.key"))

    return run


def report(paas_command: Commands) -> dict[str, str]:
    values: dict[str, str] = json.loads(paas_command("certs:report", "web1", "--format", "json").out)
    return values


def test_files_of_the_host(paas_command: Commands, settings: Settings, add) -> None:  # type: ignore[no-untyped-def]
    crt = certificate(names=["www.web1.localhost", "web1.localhost"])
    said = add(crt, pem(key("web1.localhost")))
    assert said.code == 0
    assert said.out.startswith("-----> Stored the certificate of web1: web1.localhost www.web1.localhost\n")
    assert said.err == ""
    assert paas_command("certs:show", "web1", "crt").out == crt
    assert paas_command("certs:show", "web1", "key").out == pem(key("web1.localhost"))
    found = report(paas_command)
    assert found.pop("starts-at") and found.pop("expires-at").endswith(" GMT")
    assert found == {
        "auto": "false",
        "dir": "",
        "enabled": "true",
        "hostnames": "web1.localhost www.web1.localhost",
        "issuer": "C=DE; CN=web1.localhost",
        "subject": "C=DE; CN=web1.localhost",
        "verified": "self signed",
    }
    line = pem(key("web1.localhost")).splitlines()[1].encode()
    # In clear only where HAProxy loads it from, for its owner alone.
    clear = [path for path in settings.root.rglob("*") if path.is_file() and line in path.read_bytes()]
    assert [path.parent for path in clear] == [settings.router_dir / "certificates"]
    assert stat.S_IMODE(clear[0].stat().st_mode) == 0o600
    operations = paas_command("operations", "web1").out
    assert "certs:add web1.localhost www.web1.localhost" in operations


def test_a_chain_is_kept(paas_command: Commands, add) -> None:  # type: ignore[no-untyped-def]
    chain = certificate(issuer="Authority") + certificate("Authority")
    assert add(chain, pem(key("web1.localhost"))).err == ""
    assert paas_command("certs:show", "web1", "crt").out == chain
    found = report(paas_command)
    assert (found["verified"], found["issuer"]) == (
        "verified by a certificate authority",
        "C=DE; CN=Authority",
    )
    broken = certificate(issuer="Authority") + certificate("Another")
    assert add(broken, pem(key("web1.localhost")), "certs:update").err.startswith(
        " !     Certificate 2 of the file did not issue certificate 1\n"
    )


@pytest.mark.parametrize(
    ("crt", "private", "told"),
    [
        (certificate(), pem(key("other")), "The private key does not belong to the certificate. Nothing was changed"),
        (certificate("Authority") + certificate(), pem(key("web1.localhost")), "the server's own comes first"),
        (certificate(), pem(key("web1.localhost"), b"secret"), "encrypted with a passphrase"),
        (certificate(), certificate(), "no private key in PEM form"),
        (pem(key("web1.localhost")), pem(key("web1.localhost")), "no certificate in PEM form (it can't be parsed)"),
        (certificate() + pem(key("web1.localhost")), pem(key("web1.localhost")), "a private key is in it too"),
        ("", "", "no certificate in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "", "no certificate in PEM form"),
    ],
)  # fmt: skip
def test_what_is_refused(paas_command: Commands, add, crt: str, private: str, told: str) -> None:  # type: ignore[no-untyped-def]
    said = add(crt, private)
    assert (said.code, said.out, said.err.count("\n")) == (1, "", 1)
    assert told in said.err and "Nothing was changed" in said.err
    assert report(paas_command)["enabled"] == "false"


def test_what_is_taken_with_a_warning(add) -> None:  # type: ignore[no-untyped-def]
    private = pem(key("web1.localhost"))
    assert " !     The certificate expired on " in add(certificate(days=(-9, -2)), private).err
    assert " !     The certificate is not valid before " in add(certificate(days=(2, 9)), private).err
    assert (
        " !     None of its names is a domain of web1: nobody gets it. See domains:report web1\n"
        in add(certificate("x.example.com"), pem(key("x.example.com"))).err
    )
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is warned of
    assert " !     The key has 1024 bits only" in add(certificate(private=weak), pem(weak)).err


def test_files_that_are_not_there(paas_command: Commands, tmp_path: Path) -> None:
    crt = tmp_path / "server.crt"
    crt.write_text(certificate())
    for words, name in (
        (("nope.crt", "nope.key"), "CRT"),
        ((str(tmp_path), "nope.key"), "CRT"),
        ((str(crt), "nope.key"), "KEY"),
        ((str(crt),), "KEY"),
        ((str(crt), "/dev/zero"), "KEY"),
    ):
        said = paas_command("certs:add", "web1", *words)
        assert (said.code, said.err) == (
            1,
            f" !     {name} file specified not found, please check file paths\n",
        )


def test_a_tar_on_standard_input(paas_command: Commands) -> None:
    private = pem(key("web1.localhost"))
    entries = (
        ("certs/._server.crt", "what OSX keeps"),
        ("certs/server.crt", certificate()),
        ("._server.key", "too"),
        ("certs/server.key", private),
    )
    assert paas_command("certs:add", "web1", stdin=archive(*entries)).code == 0
    assert paas_command("certs:show", "web1", "key").out == private


CRT, PRIVATE = ("server.crt", "x"), ("server.key", "x")


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        ("", "Tar archive containing server.crt and server.key expected on stdin"),
        ("no tar at all", "The tar archive on standard input can't be read: it ends early or is no tar archive. Nothing was changed"),
        (archive(CRT), "Tar archive missing .key file"),
        (archive(("._server.crt", "x"), PRIVATE), "Tar archive missing .crt file"),
        (archive(CRT, PRIVATE, ("b.crt", "x")), "Tar archive contains more than one .crt file"),
        (archive(("/server.crt", "x"), PRIVATE), "Archive contains entries with absolute paths"),
        (archive(("a/../../server.crt", "x"), PRIVATE), "Archive contains entries with parent directory traversal"),
        (archive(PRIVATE, link=("server.crt", "/etc/shadow")), "Archive contains symlinks with absolute targets"),
        (archive(PRIVATE, link=("server.crt", "../x")), "Archive contains symlinks pointing outside extraction directory"),
        (archive(PRIVATE, link=("server.crt", "server.key")), "Tar archive missing .crt file"),
        (archive(*[(f"{i}.txt", "") for i in range(101)]), "Archive contains 101 entries which exceeds the maximum of 100"),
        (archive(("big.crt", "x" * 5_000_000)), "Archive exceeds maximum allowed size of 4194304 bytes"),
    ],
    ids=range(12),
)  # fmt: skip
def test_archives_that_are_refused(paas_command: Commands, stdin: str, told: str) -> None:
    said = paas_command("certs:add", "web1", stdin=stdin)
    assert (said.code, said.out, said.err) == (1, "", f" !     {told}\n")


def test_generate_and_remove(paas_command: Commands) -> None:
    said = paas_command("certs:generate", "web1", "*.Web1.localhost")
    assert said.code == 0 and "-----BEGIN CERTIFICATE REQUEST-----" in said.out and "PRIVATE" not in said.out
    request = x509.load_pem_x509_csr(said.out[said.out.index("-----BEGIN") :].encode())
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.web1.localhost"]
    assert request.is_signature_valid
    assert report(paas_command)["verified"] == "self signed"
    again = paas_command("certs:generate", "web1", "web1.localhost")
    assert (again.code, again.out) == (1, "") and "has a certificate already" in again.err
    assert paas_command("certs:remove", "web1").code == 0
    said = paas_command("certs:remove", "web1")
    assert (said.code, said.err) == (1, " !     An app-specific SSL endpoint is not defined\n")


def test_the_subject_of_a_generated_one() -> None:
    made, _ = self_signed("a" * 60 + ".example.com", {"C": "DE", "O": "Ä & Co", "ST": ""})
    assert made.subject == "C=DE; O=Ä & Co" and made.names == ("a" * 60 + ".example.com",)
    assert (
        Certificate.parse(made.bundle.partition("-----BEGIN PRIVATE")[0].encode(), made.key.encode()) == made
    )
    assert made.key not in repr(made)


@pytest.mark.parametrize(
    "domain", ["", "x y", "-x.de", "x..de", "a.*.de", "--help-", "ü.de", "a" * 64 + ".de"]
)
def test_no_domain(paas_command: Commands, domain: str) -> None:
    said = paas_command("certs:generate", "web1", "--", domain)
    assert (said.code, said.out) == (1, "") and said.err.startswith(" !     Invalid domain: ")


def test_show_and_report_without_one(paas_command: Commands) -> None:
    said = paas_command("certs:show", "web1", "crt")
    assert (said.code, said.err) == (1, " !     web1 doesn't have an SSL endpoint defined\n")
    said = paas_command("certs:show", "web1")
    assert (said.code, said.err) == (1, " !     specify either 'key' or 'crt'\n")
    said = paas_command("certs:report", "web1")
    assert said.out.startswith("=====> web1 ssl information\n       Ssl dir:                       \n")
    assert "       Ssl enabled:                   false\n" in said.out
    said = paas_command("certs:report", "--global")
    assert said.out.startswith("=====> --global ssl information\n")
    assert "       Ssl computed acme directory:   https://acme-v02.api.letsencrypt.org/directory\n" in said.out
    assert paas_command("certs:report", "web1", "--ssl-enabled").out == "false\n"
    assert paas_command("certs:add", "missing").code == 20
