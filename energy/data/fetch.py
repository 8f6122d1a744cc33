"""Download of official archives, which can be broken off and continued, and are verified before they are opened."""

import hashlib
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit

from energy.component import from_dict
from energy.data.dataset import DataSet
from energy.data.published import Published
from energy.data.source import data_root
from energy.errors import DataError

CHUNK = 1 << 20  # bytes per read
LIMIT = 1 << 33  # bytes of an archive
TIMEOUT = 60  # seconds without an answer
FAULTS = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError)


def fetch(name: str, url_base: str | None = None) -> list[Path]:
    """Bring a published set into the data folder; a set that is already there is left alone.

    Args:
        name: the set, as on the command line.
        url_base: another place that serves the official archives under their own names.

    Returns:
        The files of the set.

    Raises:
        ConfigurationError: when there is no such set.
        DataError: when there is nothing to download; when the connection fails (the bytes that have arrived are kept,
            and the next call goes on from there); when the digest is not the published one, or the archive would write
            outside its folder (it is then removed, and nothing is unpacked).
    """
    dataset = _named(name)
    root = data_root()
    try:
        return dataset.locate(root)[1]
    except DataError:
        if not dataset.downloads:
            raise
    for download in dataset.downloads:
        url = download.url if url_base is None else f"{url_base.rstrip('/')}/{_file_name(download.url)}"
        archive = _download(url, root / f".{_file_name(url)}.part")
        try:
            _verify(archive, download.digest, url)
            _unpack(archive, _file_name(url), root / download.folder)
        finally:
            archive.unlink(missing_ok=True)
    return dataset.locate(root)[1]


def _named(name: str) -> Published:
    dataset = from_dict(DataSet, name)
    if not isinstance(dataset, Published):
        raise DataError(f"data={name}: is not published as files, so there is nothing to fetch")
    return dataset


def _file_name(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).name


def _download(url: str, part: Path) -> Path:
    """Download `url` into the file `part`, from the end of an earlier attempt if the server can."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise DataError(f"{url}: only http and https addresses are fetched")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            expected = _receive(answer, part, have if answer.status == 206 else 0)
    except HTTPError as error:
        if error.code == 416:  # nothing is left to send
            return part
        raise DataError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"{url}: cannot be fetched: {error}; what has arrived is kept, fetch again to go on") from None
    if part.stat().st_size < expected:
        raise DataError(f"{url}: broke off after {part.stat().st_size} of {expected} bytes; fetch again to go on")
    return part


def _receive(answer: HTTPResponse, part: Path, start: int) -> int:
    """Write the answer behind the first `start` bytes, and return the length that the file should have."""
    expected = start + int(answer.headers.get("Content-Length") or 0)
    with part.open("r+b" if start else "wb") as out:
        out.seek(start)
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            if out.tell() > LIMIT:
                raise DataError(f"{answer.url}: sends more than {LIMIT} bytes")
    return expected


def _verify(archive: Path, published: str, url: str) -> None:
    method, wanted = published.split(":")
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.new(method, usedforsecurity=False)).hexdigest()
    if found != wanted:
        raise DataError(f"{url}: has the {method.upper()} {found}; published is {wanted}; removed, nothing unpacked")


def _unpack(archive: Path, name: str, folder: Path) -> None:
    """Unpack beside the folder, and move the files in when all of them have come out."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=folder) as work:
        try:
            _extract(archive, name, Path(work))
        except FAULTS as error:
            raise DataError(f"{name}: unsafe or damaged archive: {error}; nothing unpacked") from None
        for path in sorted(Path(work).rglob("*")):
            target = folder / path.relative_to(work)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                path.replace(target)


def _extract(archive: Path, name: str, work: Path) -> None:
    if name.endswith((".tar.gz", ".tgz", ".tar")):
        with tarfile.open(archive) as tar:
            tar.extractall(work, filter="data")
    elif name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for member in packed.namelist():
                if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts or "\\" in member:
                    raise zipfile.BadZipFile(f"{member!r} would be written outside the destination")
            packed.extractall(work)
    else:
        archive.replace(work / name)
