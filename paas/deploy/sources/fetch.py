"""An archive from standard input or from the web, kept in a file without a name while it is read."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import re
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from paas.deploy.session import Session
from paas.deploy.sources.archive import ArchiveTooLarge
from paas.deploy.sources.public import public_handlers
from paas.errors import PaasError
from paas.model.git_url import RemoteUrl, is_loopback, parse_host, shown
from paas.model.names import printable
from paas.store.git_auth import GitAuth

READ_BYTES = 1 << 18
SILENCE_SECONDS = 30.0
MAX_REDIRECTS = 10
REDIRECTS = (301, 302, 303, 307, 308)


class InvalidArchiveUrl(PaasError):
    """{given} is no URL of an archive. Nothing was changed. Give an http:// or https:// URL, or -- for standard input"""


class DownloadFailed(PaasError):
    """{url} could not be downloaded: {reason}. Nothing was changed"""


class DiskFull(PaasError):
    """The disk of {folder} is full. Nothing was changed. Make room, then send the archive again"""


def archive_url(given: str) -> RemoteUrl:
    """The address of an archive. Raises InvalidArchiveUrl."""
    try:
        url = RemoteUrl.parse(re.sub(r"^(https?://[^/?#]*)(?=[?#]|$)", r"\1/", given))
    except PaasError:
        raise InvalidArchiveUrl(given=shown(given)) from None
    if url.scheme not in ("http", "https"):
        raise InvalidArchiveUrl(given=shown(given))
    return url


@contextlib.contextmanager
def spooled(
    session: Session, url: RemoteUrl | None, limit: int, public_only: bool = False
) -> Iterator[IO[bytes]]:
    """The archive of a URL, or of standard input, in a file at its start. It has no name, so nothing of it is left
    behind. `public_only`: not from everywhere that this machine can reach. Raises ArchiveTooLarge as soon as `limit`
    bytes are passed, DownloadFailed, NotPublic, DiskFull."""
    folder = session.settings.run_dir
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            if url is None:
                with open(0, "rb", buffering=0, closefd=False) as stdin:
                    _copy(session, stdin, file, limit, None)
            else:
                _download(session, url, file, limit, public_only)
            file.flush()
        except OSError as error:
            raise DiskFull(folder=folder) from error
        file.seek(0)
        yield file


def _copy(session: Session, source: Any, file: IO[bytes], limit: int, total: int | None) -> int:
    progress = session.console.progress("Archive")
    done = 0
    while data := source.read(READ_BYTES):
        done += len(data)
        if done > limit:
            raise ArchiveTooLarge(limit=limit)
        file.write(data)
        progress.bytes(done, total)
    session.console.end_live()
    return done


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Followed by us: where they lead decides what is told."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _download(session: Session, url: RemoteUrl, file: IO[bytes], limit: int, public_only: bool) -> None:
    opener = urllib.request.build_opener(_Redirects(), *(public_handlers(session) if public_only else ()))
    first = url
    for _ in range(MAX_REDIRECTS + 1):
        request = urllib.request.Request(url.text, headers={"User-Agent": "paas", "Accept-Encoding": "identity"})  # noqa: S310 - archive_url lets http and https through
        account = _account(session, url, stored=not public_only)
        if account:
            token = base64.b64encode(":".join(account).encode()).decode()
            request.add_unredirected_header("Authorization", f"Basic {token}")
        try:
            with opener.open(request, timeout=SILENCE_SECONDS) as answer:
                _take(session, first, answer, file, limit)
                return
        except urllib.error.HTTPError as error:
            with error:
                url = _onward(first, url, error)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            raise DownloadFailed(url=first.shown, reason=_reason(error)) from None
    raise DownloadFailed(url=first.shown, reason=f"it leads on more than {MAX_REDIRECTS} times")


def _onward(first: RemoteUrl, url: RemoteUrl, error: urllib.error.HTTPError) -> RemoteUrl:
    """Where a redirect leads; another scheme is refused, but for http that becomes https."""
    if error.code not in REDIRECTS or not (target := error.headers.get("Location")):
        raise DownloadFailed(url=first.shown, reason=f"the server says {error.code} {printable(str(error.reason))}")
    try:
        onward = archive_url(urljoin(url.text, target))
    except PaasError:
        raise DownloadFailed(
            url=first.shown, reason=f"it redirects to a {printable(urlsplit(target).scheme or 'strange')} URL"
        ) from None
    if url.scheme == "https" and onward.scheme == "http":
        raise DownloadFailed(url=first.shown, reason="it redirects from https to http")
    return onward


def _take(session: Session, url: RemoteUrl, answer: Any, file: IO[bytes], limit: int) -> None:
    told = answer.headers.get("Content-Length", "")
    total = int(told) if re.fullmatch(r"[0-9]{1,18}", told) else None
    if total is not None and total > limit:
        raise ArchiveTooLarge(limit=limit)
    done = _copy(session, answer, file, limit, total)
    if total is not None and done < total:
        raise DownloadFailed(url=url.shown, reason=f"it ended after {done} of {total} bytes")


def _account(session: Session, url: RemoteUrl, stored: bool) -> tuple[str, str] | None:
    """The name and password for a server: the URL's own or, if they may be used, `stored` ones, unencrypted only to this
    machine."""
    if url.user:
        return url.user, url.password
    if not stored:
        return None
    if url.scheme == "http" and not is_loopback(url.host):
        return None
    for account in GitAuth(session.properties).all():
        host, port = parse_host(account.host)
        if host == url.host and port in (None, url.port):
            return account.user, account.password
    return None


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return f"the server was silent for {SILENCE_SECONDS:.0f} s"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({printable(inner.verify_message)})"
    if isinstance(inner, OSError) and inner.errno and not isinstance(inner, ssl.SSLError):
        return os.strerror(inner.errno) if inner.errno > 0 else printable(str(inner.strerror))
    return printable(str(inner)) or type(inner).__name__
