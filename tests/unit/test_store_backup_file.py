"""A backup's archive: what comes out is what went in, and what is missing or does not belong there is noticed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from paas.store.backup_file import PART_BYTES, BackupReader, BackupWriter, Contents, NewerBackup
from paas.store.database import migrations
from paas.store.sealed import Damaged

CONTENTS = Contents("0.1", 1, 0, "h", "/r", "ab", ("a",), {"a": "refs/heads/master"})


def written(tmp_path: Path, contents: Contents = CONTENTS) -> bytes:
    out = io.BytesIO()
    writer = BackupWriter(out, contents)
    file = tmp_path / "file"
    file.write_bytes(b"content")
    writer.file("files/one", file)
    writer.file("files/gone", tmp_path / "gone")
    assert writer.stream("images", iter([b"x" * PART_BYTES, b"y" * 10, b""])) == PART_BYTES + 10
    writer.stream("volumes/0", iter([]))
    writer.end()
    return out.getvalue()


def test_what_went_in_comes_out(tmp_path: Path) -> None:
    reader = BackupReader(io.BytesIO(written(tmp_path)))
    assert reader.contents == CONTENTS
    one = reader.next()
    assert one is not None and (str(one.name), one.content.read()) == ("files/one", b"content")
    images = reader.next()
    assert images is not None and images.section == "images"
    assert b"".join(reader.joined(images)) == b"x" * PART_BYTES + b"y" * 10
    assert reader.next() is None


def test_a_backup_without_its_end_is_not_whole(tmp_path: Path) -> None:
    data = written(tmp_path)
    for cut in (0, 100, 2000, PART_BYTES, data.rindex(b"end.json"), len(data) // 2):
        with pytest.raises(Damaged):
            read_all(data[:cut])


def read_all(data: bytes) -> None:
    reader = BackupReader(io.BytesIO(data))
    while (member := reader.next()) is not None:
        member.content.read()


@pytest.mark.parametrize("changes", [{"format": 2}, {"schema": len(migrations()) + 1}])
def test_a_newer_one_is_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    newer = Contents(**{**vars(CONTENTS), **changes})  # type: ignore[arg-type]
    with pytest.raises(NewerBackup, match="newer paas"):
        BackupReader(io.BytesIO(written(tmp_path, newer)))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "files/../../x"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Damaged):
        read_all(crafted(tarfile.TarInfo(name)))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_only_files_belong_there(kind: bytes) -> None:
    entry = tarfile.TarInfo("files/x")
    entry.type, entry.linkname = kind, "/etc/passwd"
    with pytest.raises(Damaged):
        read_all(crafted(entry))


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"null", b'{"format": "x"}', b"\xff"])
def test_a_list_of_contents_that_is_none(text: bytes) -> None:
    with pytest.raises(Damaged):
        read_all(crafted(manifest=text))


def crafted(entry: tarfile.TarInfo | None = None, manifest: bytes | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        data = json.dumps(vars(CONTENTS)).encode() if manifest is None else manifest
        first = tarfile.TarInfo("manifest.json")
        first.size = len(data)
        tar.addfile(first, io.BytesIO(data))
        if entry is not None:
            tar.addfile(entry)
        end = json.dumps({"members": 1 + (entry is not None)}).encode()
        last = tarfile.TarInfo("end.json")
        last.size = len(end)
        tar.addfile(last, io.BytesIO(end))
    return out.getvalue()
