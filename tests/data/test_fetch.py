"""Fetching, from a server on this machine: verified, continued, unpacked inside its folder or not at all."""

import gzip
import hashlib
import io
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energy.component import ConfigurationError
from energy.data import Cifar10, DataError, ImageNet32, Mnist, Published, describe_sets, fetch
from energy.data.published import Download

Make = Callable[..., Any]
ARCHIVE = "cifar-10-binary.tar.gz"
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


class Server:
    """What is served, what was asked for, and how the server behaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.cut = 0
        self.ranged = True
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.base = f"http://127.0.0.1:{self.http.server_port}/mirror/"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                data = server.files.get(self.path.rpartition("/")[2])
                if data is None:
                    return self.send_error(404)
                start = int(asked[6:-1]) if asked and server.ranged else 0
                if start >= len(data):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(data) - start))
                self.end_headers()
                self.wfile.write(data[start : server.cut or None])
                return None

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever, daemon=True)
    thread.start()
    yield served
    served.http.shutdown()
    served.http.server_close()
    thread.join()


def tar(*members: tuple[str, bytes], link: str = "") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        if link:
            entry = tarfile.TarInfo("cifar-10-batches-bin")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            archive.addfile(entry)
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


@pytest.fixture
def good(batch: Make) -> bytes:
    rows, labels = batch(10)
    data = np.concatenate([labels.astype(np.uint8)[:, None], rows], axis=1).tobytes()
    return tar(*((f"cifar-10-batches-bin/{name}.bin", data) for name in NAMES))


def publish(monkeypatch: pytest.MonkeyPatch, kind: type[Published], *digests: str) -> None:
    """Let the digests be those of what this test serves."""
    pairs = zip(kind.downloads, digests, strict=True)
    monkeypatch.setattr(kind, "downloads", tuple(Download(old.url, new, old.folder) for old, new in pairs))


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_an_archive_is_fetched_verified_and_unpacked(
    server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[ARCHIVE] = good
    publish(monkeypatch, Cifar10, md5(good))
    paths = fetch("cifar10", server.base)
    assert [path.name for path in paths] == [f"{name}.bin" for name in NAMES]
    assert files(root) == {"cifar-10-batches-bin", *(f"cifar-10-batches-bin/{name}.bin" for name in NAMES)}
    assert len(Cifar10(verify=False).read().train.labels) == 50
    assert next(row["state"] for row in describe_sets() if row["name"] == "cifar10").startswith("binary, in ")


def test_a_set_that_is_there_is_left_alone(
    server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[ARCHIVE] = good
    publish(monkeypatch, Cifar10, md5(good))
    first = fetch("cifar10", server.base)
    assert fetch("cifar10", server.base) == first
    assert len(server.ranges) == 1


def test_sha256_counts_too(server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files[ARCHIVE] = good
    publish(monkeypatch, Cifar10, f"sha256:{hashlib.sha256(good).hexdigest()}")
    assert len(fetch("cifar10", server.base)) == 6


def test_an_archive_with_another_digest_is_removed_unopened(server: Server, good: bytes, root: Path) -> None:
    server.files[ARCHIVE] = good
    with pytest.raises(DataError, match="published is c32a1d4ab5d03f1284b67883e8d87530"):
        fetch("cifar10", server.base)
    assert files(root) == set()


@pytest.mark.parametrize("ranged", [True, False])
def test_what_broke_off_is_continued(
    ranged: bool, server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[ARCHIVE], server.cut, server.ranged = good, len(good) // 3, ranged
    publish(monkeypatch, Cifar10, md5(good))
    with pytest.raises(DataError, match=f"broke off after {server.cut} of {len(good)} bytes"):
        fetch("cifar10", server.base)
    assert files(root) == {f".{ARCHIVE}.part"}
    server.cut = 0
    assert len(fetch("cifar10", server.base)) == 6
    assert server.ranges == [None, f"bytes={len(good) // 3}-"]
    assert f".{ARCHIVE}.part" not in files(root)


def test_a_complete_file_left_behind_is_used(
    server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[ARCHIVE] = good
    publish(monkeypatch, Cifar10, md5(good))
    (root / f".{ARCHIVE}.part").write_bytes(good)
    assert len(fetch("cifar10", server.base)) == 6


def test_rubbish_left_behind_costs_one_attempt(
    server: Server, good: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[ARCHIVE] = good
    publish(monkeypatch, Cifar10, md5(good))
    (root / f".{ARCHIVE}.part").write_bytes(b"rubbish")
    with pytest.raises(DataError, match="published is"):
        fetch("cifar10", server.base)
    assert len(fetch("cifar10", server.base)) == 6


@pytest.mark.parametrize(
    "archive",
    [
        tar(("../evil", b"x")),
        tar(("cifar-10-batches-bin/../../evil", b"x")),
        tar(("/tmp/../evil/evil", b"x"), ("../../evil", b"x")),
        tar(("cifar-10-batches-bin/evil", b"x"), link="../.."),
        tar(("cifar-10-batches-bin/evil", b"x"), link="/tmp"),
        b"not an archive",
        tar(("cifar-10-batches-bin/data_batch_1.bin", bytes(100_000)))[:100],
    ],
    ids=[
        "above",
        "above inside",
        "absolute",
        "link above",
        "absolute link",
        "no archive",
        "cut short",
    ],  # not its bytes: a time
)
def test_an_archive_that_would_write_elsewhere_or_is_damaged_leaves_nothing(
    archive: bytes, server: Server, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = root / "cifar-10-batches-py" / "mine"
    kept.parent.mkdir()
    kept.write_bytes(b"kept")
    server.files[ARCHIVE] = archive
    publish(monkeypatch, Cifar10, md5(archive))
    before = files(tmp_path)
    with pytest.raises(DataError, match="unsafe or damaged"):
        fetch("cifar10", server.base)
    assert files(tmp_path) == before
    assert kept.read_bytes() == b"kept"


def zipped(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return stream.getvalue()


@pytest.mark.parametrize("top", ["", "Imagenet32_{}_npz/"])
def test_zip_archives_with_and_without_a_folder(
    top: str, server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = zipped(*((f"{top.format('train')}train_data_batch_{number}.npz", b"x") for number in range(1, 11)))
    val = zipped((f"{top.format('val')}val_data.npz", b"x"))
    server.files |= {"Imagenet32_train_npz.zip": train, "Imagenet32_val_npz.zip": val}
    publish(monkeypatch, ImageNet32, md5(train), md5(val))
    assert len(fetch("imagenet32", server.base)) == 11


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil"])
def test_a_zip_archive_that_would_write_elsewhere(
    name: str, server: Server, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped((name, b"x"))
    server.files["Imagenet32_train_npz.zip"] = archive
    publish(monkeypatch, ImageNet32, md5(archive), md5(b""))
    with pytest.raises(DataError, match="unsafe or damaged"):
        fetch("imagenet32", server.base)
    assert {path for path in files(tmp_path) if "evil" in path or "part" in path} == set()


def test_single_files_are_kept_as_they_are(
    server: Server, root: Path, batch: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels = batch(10, size=784)
    arrays = [rows.reshape(10, 28, 28), labels.astype(np.uint8)] * 2
    packed = [gzip.compress(struct.pack(f">HBB{a.ndim}I", 0, 8, a.ndim, *a.shape) + a.tobytes()) for a in arrays]
    server.files |= {old.url.rpartition("/")[2]: data for old, data in zip(Mnist.downloads, packed, strict=True)}
    publish(monkeypatch, Mnist, *map(md5, packed))
    assert [path.parent for path in fetch("mnist", server.base)] == [root / "MNIST/raw"] * 4
    assert Mnist(verify=False).read().test.labels.tolist() == labels.tolist()


def test_a_server_that_does_not_have_it(server: Server, root: Path) -> None:
    with pytest.raises(DataError, match="answers 404"):
        fetch("cifar10", server.base)
    assert files(root) == set()


def test_no_server_at_all(root: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched"):
        fetch("cifar10", "http://127.0.0.1:9/")


@pytest.mark.parametrize("base", ["file:///etc", "ftp://127.0.0.1", "/etc"])
def test_only_the_web_is_asked(base: str, root: Path) -> None:
    with pytest.raises(DataError, match="only http and https"):
        fetch("cifar10", base)


def test_unknown_embedded_and_unpublished_sets(root: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'cifar10'"):
        fetch("cifar")
    with pytest.raises(DataError, match="nothing to fetch"):
        fetch("digits")
    with pytest.raises(DataError, match="nobody serves it"):
        fetch("imagenette32")
