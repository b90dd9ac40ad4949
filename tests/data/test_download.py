"""Downloads from a server on this machine that misbehaves on request, and archives that mean harm."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blemish.core.card import Archive, DatasetCard
from blemish.core.errors import DownloadError, StorageError
from blemish.data import download as module
from blemish.data.datasets.mvtec_ad import CARD
from blemish.data.download import download, fetch, unpack


class Shelf(BaseHTTPRequestHandler):
    """Serves `content` with Range and If-Range, as badly as the test asks for."""

    content: bytes = b""
    tag = '"one"'
    ranges = True
    drop_at: list[int] = []  # how many bytes each next answer sends before the connection drops
    errors: list[int] = []  # the status of each next answer, before any good one
    location = ""
    log: list[str | None] = []

    def do_GET(self):
        cls = type(self)
        asked = self.headers.get("Range")
        cls.log.append(asked)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", cls.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if cls.errors:
            self.send_error(cls.errors.pop(0))
            return
        start = 0
        if asked and cls.ranges and self.headers.get("If-Range") == cls.tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(cls.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(cls.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(cls.content) - 1}/{len(cls.content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(cls.content) - start))
        if cls.tag:
            self.send_header("ETag", cls.tag)
        self.end_headers()
        body = cls.content[start:]
        if cls.drop_at:
            body = body[: cls.drop_at.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def shelf(monkeypatch) -> Iterator[type[Shelf]]:
    handler = type("Handler", (Shelf,), {"drop_at": [], "errors": [], "log": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(module, "BACKOFF", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def tarball(members, mode="w:gz"):
    """A tar of (name, content or TarInfo)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def card(url="", checksum="", name="toy.tar.gz"):
    return DatasetCard("Toy", CARD.paper, "CC0", "https://toy", (), (), "", archives=(Archive(name, url, 0, checksum),))


FILES = [("toy/a.png", b"a" * 3000), ("toy/deep/b.png", bytes(range(256)) * 400)]
TAR = tarball(FILES)


def content(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def clean(tmp_path):
    return sorted(p.name for p in tmp_path.iterdir())


def test_downloads_checks_unpacks_and_tidies(shelf, tmp_path):
    shelf.content = TAR
    seen, said = [], []
    root = download(
        card(f"{shelf.url}/x", sha256(TAR)),
        tmp_path / "sets" / "toy",
        progress=lambda done, total: seen.append((done, total)),
        announce=said.append,
    )
    assert content(root) == dict(FILES)
    assert seen[-1] == (len(TAR), len(TAR))
    assert len(said) == 1
    assert "CC0" in said[0]
    assert clean(tmp_path / "sets") == ["toy"]


@pytest.mark.parametrize("mode", ["w", "w:xz", "w:bz2"])
def test_other_tars_and_md5(shelf, tmp_path, mode):
    shelf.content = tarball(FILES, mode)
    md5 = "md5:" + hashlib.md5(shelf.content, usedforsecurity=False).hexdigest().upper()
    assert content(download(card(f"{shelf.url}/x", md5), tmp_path / "toy")) == dict(FILES)


def test_zip(shelf, tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("toy") if hasattr(archive, "mkdir") else None
        for name, data in FILES:
            archive.writestr(name, data)
    shelf.content = packed.getvalue()
    assert content(download(card(f"{shelf.url}/x", name="toy.zip"), tmp_path / "toy")) == dict(FILES)


def test_drops_are_resumed_where_they_happened(shelf, tmp_path):
    shelf.content, shelf.drop_at = TAR, [100, 50]
    assert content(download(card(f"{shelf.url}/x", sha256(TAR)), tmp_path / "toy")) == dict(FILES)
    assert shelf.log == [None, "bytes=100-", "bytes=150-"]


def test_second_call_goes_on(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    shelf.content, shelf.drop_at = TAR, [100, 0]
    toy = card(f"{shelf.url}/x", sha256(TAR))
    with pytest.raises(DownloadError, match="100 bytes are kept"):
        download(toy, tmp_path / "toy")
    assert (tmp_path / "toy.tar.gz.part").read_bytes() == TAR[:100]
    assert content(download(toy, tmp_path / "toy")) == dict(FILES)
    assert shelf.log[-1] == "bytes=100-"
    assert clean(tmp_path) == ["toy"]


def test_interrupted_by_hand_goes_on(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 64)
    shelf.content = TAR

    def stop(done, total):
        if done >= 128:
            raise KeyboardInterrupt

    toy = card(f"{shelf.url}/x", sha256(TAR))
    with pytest.raises(KeyboardInterrupt):
        download(toy, tmp_path / "toy", progress=stop)
    assert (tmp_path / "toy.tar.gz.part").read_bytes() == TAR[:128]
    download(toy, tmp_path / "toy")
    assert shelf.log == [None, "bytes=128-"]


def test_file_that_changed_starts_over(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    shelf.content, shelf.drop_at = b"old" * 1000, [600, 0]
    toy = card(f"{shelf.url}/x")
    with pytest.raises(DownloadError):
        download(toy, tmp_path / "toy")
    shelf.content, shelf.tag = TAR, '"two"'
    assert content(download(toy, tmp_path / "toy")) == dict(FILES)
    assert shelf.log[-1] == "bytes=600-"


@pytest.mark.parametrize(("ranges", "tag"), [(False, '"one"'), (True, ""), (True, 'W/"weak"')])
def test_server_that_cannot_resume_starts_over(shelf, tmp_path, ranges, tag):
    shelf.content, shelf.ranges, shelf.tag, shelf.drop_at = TAR, ranges, tag, [100]
    assert content(download(card(f"{shelf.url}/x"), tmp_path / "toy")) == dict(FILES)
    assert shelf.log == [None, None if ranges else "bytes=100-"]  # nothing proves that the rest would fit


def test_everything_was_there_already(shelf, tmp_path):
    shelf.content = TAR
    (tmp_path / "toy.tar.gz.part").write_bytes(TAR)
    (tmp_path / "toy.tar.gz.part.json").write_text(f'{{"url": "{shelf.url}/x", "validator": "\\"one\\""}}')
    assert content(download(card(f"{shelf.url}/x", sha256(TAR)), tmp_path / "toy")) == dict(FILES)
    assert shelf.log == [f"bytes={len(TAR)}-"]


def test_part_longer_than_the_file_starts_over(shelf, tmp_path):
    shelf.content = TAR
    (tmp_path / "toy.tar.gz.part").write_bytes(TAR + b"more")
    (tmp_path / "toy.tar.gz.part.json").write_text(f'{{"url": "{shelf.url}/x", "validator": "\\"one\\""}}')
    assert content(download(card(f"{shelf.url}/x"), tmp_path / "toy")) == dict(FILES)


@pytest.mark.parametrize("state", ["{", "[1]", '{"url": "http://else/x", "validator": "\\"one\\""}'])
def test_part_of_unknown_origin_starts_over(shelf, tmp_path, state):
    shelf.content = TAR
    (tmp_path / "toy.tar.gz.part").write_bytes(b"x" * 50)
    (tmp_path / "toy.tar.gz.part.json").write_text(state)
    assert content(download(card(f"{shelf.url}/x"), tmp_path / "toy")) == dict(FILES)
    assert shelf.log == [None]


def test_wrong_checksum_is_kept_aside(shelf, tmp_path):
    shelf.content = b"<html>log in</html>"
    with pytest.raises(DownloadError, match=r"has sha256 .*expected .*kept as .*toy\.tar\.gz\.mismatch"):
        download(card(f"{shelf.url}/x", sha256(TAR)), tmp_path / "toy")
    assert clean(tmp_path) == ["toy.tar.gz.mismatch"]
    shelf.content = TAR
    download(card(f"{shelf.url}/x", sha256(TAR)), tmp_path / "toy")


def test_page_without_checksum_is_no_archive(shelf, tmp_path):
    shelf.content = b"<html>log in</html>"
    with pytest.raises(DownloadError, match="neither a tar nor a zip"):
        download(card(f"{shelf.url}/x"), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_server_errors_are_retried_and_bounded(shelf, tmp_path):
    shelf.content, shelf.errors = TAR, [503, 429, 500]
    assert content(download(card(f"{shelf.url}/x"), tmp_path / "toy")) == dict(FILES)
    shelf.log.clear()
    shelf.errors = [503] * 99
    with pytest.raises(DownloadError, match=r"in 5 attempts: .*503.*Fetch it by hand from https://toy"):
        download(card(f"{shelf.url}/x"), tmp_path / "other")
    assert len(shelf.log) == 5


def test_absent_file_is_not_retried(shelf, tmp_path):
    shelf.errors = [404, 404]
    with pytest.raises(DownloadError, match=r"answers 404.*Fetch it by hand"):
        download(card(f"{shelf.url}/x"), tmp_path / "toy")
    assert len(shelf.log) == 1


def test_nobody_there(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    with pytest.raises(DownloadError, match="in 2 attempts"):
        download(card("http://127.0.0.1:9/x"), tmp_path / "toy")


def test_redirects(shelf, tmp_path):
    shelf.content, shelf.location = TAR, f"{shelf.url}/x"
    assert content(download(card(f"{shelf.url}/moved", sha256(TAR)), tmp_path / "toy")) == dict(FILES)
    for bad in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        shelf.location = bad
        with pytest.raises(DownloadError):
            download(card(f"{shelf.url}/moved"), tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "data:,x", "/etc/passwd"])
def test_only_the_web(tmp_path, url):
    with pytest.raises(DownloadError, match="no web address"):
        download(card(url), tmp_path / "toy")


def test_by_hand(tmp_path):
    toy = card(name="toy.tar.gz")
    with pytest.raises(DownloadError) as caught:
        download(toy, tmp_path / "toy")
    assert "Fetch it by hand from https://toy" in str(caught.value)
    assert str(tmp_path / "toy.tar.gz") in str(caught.value)
    (tmp_path / "toy.tar.gz").write_bytes(TAR)
    assert content(download(toy, tmp_path / "toy")) == dict(FILES)
    assert clean(tmp_path) == ["toy", "toy.tar.gz"]  # what somebody put there is theirs


def test_no_archive_at_all(tmp_path):
    empty = DatasetCard("Toy", CARD.paper, "CC0", "https://toy", (), (), "")
    with pytest.raises(DownloadError, match=r"by hand from https://toy \(licence: CC0\)"):
        download(empty, tmp_path / "toy")
    with pytest.raises(DownloadError, match="0 archives"):
        download(empty, tmp_path / "toy", url="http://x/y")


def test_another_url(shelf, tmp_path):
    shelf.content = TAR
    assert content(download(card(), tmp_path / "toy", url=f"{shelf.url}/x")) == dict(FILES)


def test_announcement_can_stop(shelf, tmp_path):
    def refuse(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(card(f"{shelf.url}/x"), tmp_path / "toy", announce=refuse)
    assert shelf.log == []
    assert clean(tmp_path) == []


def test_folder_in_use(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="not empty"):
        download(card("http://x/y"), tmp_path / "toy")
    assert content(tmp_path / "toy") == {"mine.txt": b"mine"}


def test_empty_folder_is_filled(shelf, tmp_path):
    shelf.content = TAR
    (tmp_path / "toy").mkdir()
    assert content(download(card(f"{shelf.url}/x"), tmp_path / "toy")) == dict(FILES)


def test_a_link_to_an_empty_folder_is_filled_where_it_points(shelf, tmp_path):
    far = tmp_path / "disk" / "far"
    far.mkdir(parents=True)
    (tmp_path / "near").symlink_to(far)
    shelf.content = TAR
    root = download(card(f"{shelf.url}/x"), tmp_path / "near")
    assert root.is_symlink()
    assert content(far) == dict(FILES)
    assert [path.name for path in far.parent.iterdir()] == ["far"]


def test_a_mount_point_is_refused_before_anything_is_fetched(shelf, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(module.os.path, "ismount", lambda path: path == tmp_path / "disk")
    with pytest.raises(StorageError, match=r"disk is mounted.*Choose a folder in it, for example .*disk/"):
        download(card(f"{shelf.url}/x"), tmp_path / "disk")
    assert shelf.log == []


def test_disk_too_small(shelf, tmp_path, monkeypatch):
    shelf.content = TAR
    usage = type("Usage", (), {"free": 2 * len(TAR) - 1})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="GB free"):
        download(card(f"{shelf.url}/x"), tmp_path / "toy")
    usage.free += 1
    download(card(f"{shelf.url}/x"), tmp_path / "toy")


def test_unpacking_interrupted_leaves_the_archive(shelf, tmp_path, monkeypatch):
    shelf.content = TAR
    toy = card(f"{shelf.url}/x", sha256(TAR))

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", stop)
        with pytest.raises(KeyboardInterrupt):
            download(toy, tmp_path / "toy")
    assert clean(tmp_path) == ["toy.tar.gz"]
    (tmp_path / ".toy.unpacking").mkdir()  # as after a kill
    (tmp_path / ".toy.unpacking" / "half").write_bytes(b"x")
    assert content(download(toy, tmp_path / "toy")) == dict(FILES)
    assert len(shelf.log) == 1


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return (name, info)


def device(kind):
    info = tarfile.TarInfo("device")
    info.type = kind
    return ("device", info)


@pytest.mark.parametrize(
    "members",
    [
        [("../evil.txt", b"x")],
        [("a/../../evil.txt", b"x")],
        [("/evil.txt", b"x")],
        [("..\\evil.txt", b"x")],
        [("C:\\evil.txt", b"x")],
        [("c:evil.txt", b"x")],
        [("\\\\host\\share\\evil.txt", b"x")],
        [("a.png:stream", b"x")],
        [link("out", ".."), ("out/evil.txt", b"x")],
        [link("out", "/etc/passwd")],
        [link("out", "a.png")],
        [("a.png", b"x"), link("out", "a.png", tarfile.LNKTYPE)],
        [link("out", "../../evil.txt", tarfile.LNKTYPE)],
        [device(tarfile.CHRTYPE)],
        [device(tarfile.BLKTYPE)],
        [device(tarfile.FIFOTYPE)],
    ],
)
def test_hostile_tar(tmp_path, members):
    inner = tmp_path / "deep" / "down"
    inner.mkdir(parents=True)
    (inner / "toy.tar.gz").write_bytes(tarball(members))
    with pytest.raises(DownloadError, match="refused"):
        download(card(), inner / "toy")
    assert {p.name for p in tmp_path.rglob("*")} == {"deep", "down", "toy.tar.gz"}


def zipped(name, data=b"x", mode=0):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        info.external_attr = mode << 16
        archive.writestr(info, data)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../evil.txt", 0),
        ("/evil.txt", 0),
        ("a\\..\\..\\evil.txt", 0),
        ("out", stat.S_IFLNK | 0o777),
        ("f", stat.S_IFIFO),
    ],
)
def test_hostile_zip(tmp_path, name, mode):
    (tmp_path / "toy.zip").write_bytes(zipped(name, mode=mode))
    with pytest.raises(DownloadError, match="refused"):
        download(card(name="toy.zip"), tmp_path / "toy")
    assert clean(tmp_path) == ["toy.zip"]


def test_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SLACK", 1000)
    (tmp_path / "toy.tar.gz").write_bytes(tarball([("zeros", bytes(10_000_000))]))
    with pytest.raises(DownloadError, match="more than 50 times its size"):
        download(card(), tmp_path / "toy")
    monkeypatch.setattr(module, "MEMBERS", 3)
    (tmp_path / "toy.tar.gz").write_bytes(tarball([(str(i), b"") for i in range(4)]))
    with pytest.raises(DownloadError, match="more than 3 entries"):
        download(card(), tmp_path / "toy")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    (tmp_path / "toy.tar.gz").write_bytes(packed.getvalue())
    with pytest.raises(DownloadError, match="more than 50 times its size"):
        download(card(), tmp_path / "toy")
    assert clean(tmp_path) == ["toy.tar.gz"]


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", TAR[: len(TAR) // 2], gzip.compress(b"no tar"), zipped("a", b"x" * 99)[:-30]],
    ids=["empty", "zip header only", "half a tar", "gzip of no tar", "cut zip"],  # gzip writes the time into the bytes
)
def test_damaged_archives(tmp_path, data):
    (tmp_path / "toy.tar.gz").write_bytes(data)
    with pytest.raises(DownloadError, match=r"damaged|neither"):
        download(card(), tmp_path / "toy")
    assert clean(tmp_path) == ["toy.tar.gz"]


PLAIN = tarball([("a/b.png", b"x" * 700), ("c.png", b"y" * 20)], "w:")
ZIPPED = zipped("a/b.png", b"x" * 700)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([PLAIN, ZIPPED, TAR]), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)
)
def test_scrambled_archives_stay_inside(tmp_path_factory, data, changes):
    broken = bytearray(data)
    for at, value in changes:
        broken[at % len(broken)] = value
    outer = tmp_path_factory.mktemp("outer")
    (outer / "inside").mkdir()
    (outer / "x.tar").write_bytes(broken)
    with suppress(DownloadError):
        unpack(outer / "x.tar", outer / "inside")
    assert {p.name for p in outer.iterdir()} == {"inside", "x.tar"}


def test_a_damaged_directory_is_damage_a_full_disk_is_not(tmp_path):
    """A directory that points before the file is damage and a full disk is not."""
    from blemish.data.download import _archive_errors

    with pytest.raises(DownloadError, match="damaged"), _archive_errors(tmp_path / "x.zip"):
        raise OSError(errno.EINVAL, "Invalid argument")
    with pytest.raises(OSError, match="No space"), _archive_errors(tmp_path / "x.zip"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_unknown_checksum(tmp_path):
    (tmp_path / "a.tar").write_bytes(PLAIN)
    with pytest.raises(DownloadError, match="neither sha256"):
        fetch(Archive("a.tar", checksum="crc32:1"), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").is_file()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_an_overlong_entry_is_refused_before_it_is_read(tmp_path, kind):
    """An entry described at great length is refused before it is read."""
    described = tarfile.TarInfo("x")
    described.type, described.size = kind, 2**22
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(described.tobuf(tarfile.GNU_FORMAT) + bytes(2**22 + 1024)))
    with pytest.raises(DownloadError, match=r"describes an entry in 4,194,304 bytes, of at most 1,048,576"):
        unpack(path, tmp_path)
