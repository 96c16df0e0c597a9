"""The maintenance page: what an app's owner sends, and the one for everybody else."""

from __future__ import annotations

import io
import tarfile
from pathlib import PurePosixPath

from paas.errors import PaasError
from paas.model.names import printable
from paas.router.routes import PAGE_BYTES

MAX_INPUT_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 1000
NAME = "maintenance.html"

DEFAULT = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Under maintenance</title>
<style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em}</style>
<h1>Under maintenance</h1>
<p>This is being worked on and will be back soon.</p>
</html>
"""


class PageExpected(PaasError):
    """Expecting the page on standard input: its HTML, or a tar archive with maintenance.html. Nothing was changed"""


class PageRefused(PaasError):
    """{reason}. Nothing was changed"""


def read_page(data: bytes) -> tuple[str, list[str]]:
    """The page in `data`, HTML or a tar, and the names of what else a tar had. Raises PageRefused."""
    if len(data) > MAX_INPUT_BYTES:
        raise PageRefused(reason=f"That is more than {MAX_INPUT_BYTES} bytes")
    left: list[str] = []
    if len(data) >= 512 and data[257:262] == b"ustar":
        data, left = _from_tar(data)
    if len(data) > PAGE_BYTES:
        raise PageRefused(
            reason=f"The page has {len(data)} bytes, and the router can keep {PAGE_BYTES}. Put images and styles elsewhere"
        )
    try:
        page = data.decode()
    except UnicodeDecodeError:
        raise PageRefused(reason="The page is not UTF-8") from None
    if "\0" in page:
        raise PageRefused(reason="The page is not text")
    return page, left


def _from_tar(data: bytes) -> tuple[bytes, list[str]]:
    found, left = None, []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= MAX_ENTRIES:
                    raise PageRefused(reason=f"The archive has more than {MAX_ENTRIES} entries")
                if not member.isfile() or PurePosixPath(member.name).name.startswith("._"):
                    continue
                if str(PurePosixPath(member.name)) == NAME:
                    # One with holes may be of any size.
                    if member.size > MAX_INPUT_BYTES:
                        raise PageRefused(reason=f"{NAME} is more than {MAX_INPUT_BYTES} bytes")
                    file = archive.extractfile(member)
                    found = file.read() if file else None
                else:
                    left.append(printable(member.name))
    except (tarfile.TarError, EOFError, ValueError, OSError) as error:
        raise PageRefused(reason="The archive on standard input can't be read") from error
    if found is None:
        raise PageRefused(reason=f"The archive has no {NAME}")
    return found, left
