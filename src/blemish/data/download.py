"""Fetch a data set: announced, resumable, verified, and unpacked as if the archive were hostile.

After any interruption a second call continues where the first one stopped: the download resumes from its `.part` file
if the server still has the same file, and the folder appears in one rename when everything is unpacked.

An archive may hold regular files and folders below its own root, nothing else: absolute paths, `..`, links and devices
are refused (no data set here needs a link), and so is an archive that grows beyond `EXPANSION` times its size plus
`SLACK`, or that describes an entry in more than `DESCRIPTION` bytes.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import lzma
import os
import shutil
import stat
import struct
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import IO, Any, Self

from blemish.core.card import Archive, DatasetCard
from blemish.core.errors import DownloadError, FormatError, StorageError
from blemish.core.files import read_json, storage_errors, write_json

CHUNK = 1 << 20
TIMEOUT = 60.0
ATTEMPTS = 5
BACKOFF = 1.0
EXPANSION = 50
SLACK = 1 << 30
MEMBERS = 1_000_000
DESCRIPTION = 1 << 20
DESCRIBING = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)

Progress = Callable[[int, int | None], None]


def download(
    card: DatasetCard,
    root: Path | str,
    *,
    url: str | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> Path:
    """Fetch and unpack a data set into a new folder.

    The archive is kept next to the folder until it is unpacked; one that is already there is verified, used and left.

    Args:
        card: The data set's card.
        root: The new folder; it may exist if it is empty.
        url: Replaces the card's address.
        progress: Called with the bytes that are there and the bytes in all (None if the server does not report them).
        announce: Called once, before anything is fetched, with the name, licence and source to show; raise from it to
            stop.

    Returns:
        The absolute path of the folder.

    Raises:
        DownloadError: the data must be fetched by hand, the server fails or gives up, the checksum does not match (the
            file is kept aside), or the archive is damaged or unsafe.
        StorageError: `root` is not empty or a mount point, the disk is too small or may not be written.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - a name for '.', and links keep theirs
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise StorageError(f"{root} already exists and is not empty. Remove it, or choose another folder.")
    if os.path.ismount(root.resolve()):
        raise StorageError(
            f"{root} is where a disk is mounted, which cannot be replaced by what is unpacked. Choose a folder in it, for "
            f"example {root / card.name.lower().replace(' ', '_')}."
        )
    if url is not None and len(card.archives) != 1:
        raise DownloadError(f"{card.name} has {len(card.archives)} archives, so one url cannot replace them.")
    archives = [replace(archive, url=url or archive.url) for archive in card.archives]
    kept = [root.parent / archive.name for archive in archives]
    fetched = [path for path in kept if not path.is_file()]
    by_hand = [path for archive, path in zip(archives, kept, strict=True) if not archive.url and not path.is_file()]
    if by_hand or not archives:
        place = f", or put its archive at {by_hand[0]} and repeat this" if by_hand else ""
        raise DownloadError(
            f"{card.name} has no address for a direct download. Fetch it by hand from {card.home} (licence: "
            f"{card.licence}) and unpack it into {root}{place}."
        )
    if announce is not None:
        sources = ", ".join(archive.url or str(path) for archive, path in zip(archives, kept, strict=True))
        announce(f"{card.name}, licence: {card.licence}, home: {card.home}, from {sources}")
    with storage_errors(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        for archive, path in zip(archives, kept, strict=True):
            fetch(archive, path, progress=progress, home=card.home)
        _unpack_all(kept, root.resolve())  # next to the target of a link: on the disk that was meant
        for path in fetched:
            path.unlink()
    return root


def fetch(archive: Archive, path: Path, *, progress: Progress | None = None, home: str = "") -> Path:
    """Fetch one archive, resuming from `<path>.part` if there is one, and verify it.

    Args:
        archive: Its address and checksum.
        path: Target file; one that exists is only verified.
        progress: Called with the bytes that are there and the bytes in all, as in `download`.
        home: Page named in messages, from which it can be fetched by hand.

    Returns:
        `path`.

    Raises:
        DownloadError: the address is not http or https, the server fails, or the checksum does not match.
        StorageError: the disk is too small.
    """
    hint = f" Fetch it by hand from {home} and put it at {path}." if home else ""
    if not path.is_file():
        _require_web(archive.url)
        part = path.with_name(path.name + ".part")
        _fetch_with_retries(archive, part, progress, hint)
        _verify(part, archive, hint)
        part.replace(path)
        _state_of(part).unlink(missing_ok=True)
    else:
        _verify(path, archive, hint)
    return path


def unpack(path: Path, folder: Path) -> None:
    """Unpack an archive.

    Args:
        path: A tar (plain, gz, bz2, xz) or zip file.
        folder: Target folder; it must exist and be empty.

    Raises:
        DownloadError: it is neither, is damaged, or holds something that is refused (see above).
    """
    with _archive_errors(path):
        if zipfile.is_zipfile(path):
            _unpack_zip(path, folder)
        else:
            _unpack_tar(path, folder)


def _fetch_with_retries(archive: Archive, part: Path, progress: Progress | None, hint: str) -> None:
    failures, largest = 0, _size(part)
    while True:
        try:
            _continue(archive, part, progress)
            return
        except urllib.error.HTTPError as error:
            error.close()
            problem: Exception = error
            if error.code < 500 and error.code not in (408, 416, 425, 429):
                raise DownloadError(f"{archive.url} answers {error.code} {error.reason}.{hint}") from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = error
        failures = 0 if _size(part) > largest else failures + 1
        largest = max(largest, _size(part))
        if failures >= ATTEMPTS:
            raise DownloadError(
                f"{archive.url} could not be fetched in {ATTEMPTS} attempts: {problem}. {_size(part):,} bytes are kept; "
                f"repeat this to go on.{hint}"
            ) from problem
        time.sleep(BACKOFF * 2**failures)


def _continue(archive: Archive, part: Path, progress: Progress | None) -> None:
    """Fetch what is missing of `part`: all of it, if the server's file changed or it cannot send the rest."""
    start, headers = _resume_point(archive, part)
    request = urllib.request.Request(archive.url, headers={"Accept-Encoding": "identity", **headers})  # noqa: S310
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the rest does not exist: all is there, or the file has become shorter
            if _total(error.headers.get("Content-Range", "")) == start > 0:
                error.close()
                return
            part.unlink(missing_ok=True)
        raise
    with response:
        given = response.headers.get("Content-Range", "")
        if response.status == 206 and given.startswith(f"bytes {start}-"):
            total = _total(given)
        else:
            start, length = 0, response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
        _require_space(part, start, total or archive.size)
        if not start:
            part.write_bytes(b"")  # before the state: what was there belongs to another version of the file
        validator = _validator(response.headers)
        write_json(_state_of(part), {"url": archive.url, "validator": validator, "total": total})
        _append(response, part, start, total, progress)


def _append(response: IO[bytes], part: Path, start: int, total: int | None, progress: Progress | None) -> None:
    done = start
    with part.open("ab") as stream:
        while chunk := _read(response):
            stream.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    if total is not None and done != total:  # http.client ends a dropped connection like a finished one
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _read(response: IO[bytes]) -> bytes:
    try:
        return response.read(CHUNK)
    except OSError as error:  # kept apart from the errors of the disk: this one is worth another attempt
        raise ConnectionError(str(error)) from error


def _resume_point(archive: Archive, part: Path) -> tuple[int, dict[str, str]]:
    """Return the byte to resume from, and the headers that request the rest."""
    size = _size(part)
    try:
        state = read_json(_state_of(part)) if _state_of(part).is_file() else {}
    except FormatError:
        state = {}
    if not isinstance(state, dict) or state.get("url") != archive.url or not state.get("validator") or not size:
        return 0, {}  # nothing proves that the server's file is still the one that was begun
    return size, {"Range": f"bytes={size}-", "If-Range": str(state["validator"])}


def _validator(headers: Any) -> str:
    tag = str(headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _total(content_range: str) -> int | None:
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdigit() else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _state_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _require_web(url: str) -> None:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url!r} is no web address; only http:// and https:// are fetched.")


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follow redirects to the web only, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the redirected request, or refuse."""
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type == "https" and scheme == "http"):
            raise DownloadError(f"{req.full_url} redirects to {newurl}, which is not followed: it is less safe.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # build_opener would add handlers for ftp:, file: and data: addresses
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirect(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "blemish")]
    return opener


def _require_space(part: Path, start: int, total: int) -> None:
    """Refuse early what cannot fit: the rest of the archive, and as much again unpacked (images hardly compress)."""
    needed, free = 2 * total - start, shutil.disk_usage(part.parent).free
    if total and needed > free:
        raise StorageError(
            f"{part.parent} has {free / 1e9:.1f} GB free; fetching and unpacking {part.stem} takes about "
            f"{needed / 1e9:.1f} GB. Free some space, or choose another disk."
        )


def _verify(path: Path, archive: Archive, hint: str) -> None:
    if not archive.checksum:
        return
    name, _, expected = archive.checksum.partition(":")
    if name not in ("sha256", "md5"):
        raise DownloadError(f"the checksum {archive.checksum!r} is neither sha256:... nor md5:...; the card is wrong.")
    digest = hashlib.new(name, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != expected.lower():
        aside = path.with_name(archive.name + ".mismatch")
        path.replace(aside)
        _state_of(path).unlink(missing_ok=True)
        raise DownloadError(
            f"{archive.name} has {name} {digest.hexdigest()}, expected {expected.lower()}: it is damaged, was replaced, or "
            f"is another page. It was kept as {aside}. Repeat this to fetch it again.{hint}"
        )


def _unpack_all(archives: list[Path], root: Path) -> None:
    fresh = root.with_name(f".{root.name}.unpacking")
    shutil.rmtree(fresh, ignore_errors=True)  # what an earlier call that was killed left behind
    fresh.mkdir()
    try:
        for path in archives:
            unpack(path, fresh)
        if root.is_dir():
            root.rmdir()
        fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class _Allowance:
    """How much an archive may still write."""

    def __init__(self, path: Path) -> None:
        self.path, self.bytes, self.members = path, EXPANSION * path.stat().st_size + SLACK, MEMBERS

    def spend(self, count: int) -> None:
        self.bytes -= count
        if self.bytes < 0:
            raise DownloadError(f"{self.path} unpacks to more than {EXPANSION} times its size: refused as a bomb.")

    def member(self) -> None:
        self.members -= 1
        if self.members < 0:
            raise DownloadError(f"{self.path} holds more than {MEMBERS:,} entries: refused as a bomb.")


def _unpack_zip(path: Path, folder: Path) -> None:
    allowance = _Allowance(path)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            allowance.member()
            target = _target(path, folder, info.filename)
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DownloadError(f"{path} holds {info.filename!r}, a link or device: refused.")
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            with archive.open(info) as source:
                _write(source, target, allowance)


class _Member(tarfile.TarInfo):
    """An entry of a tar. Those that only describe the next one are read into memory whole, so they must be small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the entry of a block of 512 bytes, or refuse."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in DESCRIBING and found.size > DESCRIPTION:
            raise DownloadError(
                f"the archive describes an entry in {found.size:,} bytes, of at most {DESCRIPTION:,}: refused as a bomb."
            )
        return found


def _opened_tar(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, tarinfo=_Member)
    except tarfile.TarError as error:
        raise DownloadError(f"{path} is neither a tar nor a zip archive. Delete it and fetch it again.") from error


def _unpack_tar(path: Path, folder: Path) -> None:
    allowance = _Allowance(path)
    with _opened_tar(path) as archive:
        for member in archive:
            allowance.member()
            target = _target(path, folder, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            source = archive.extractfile(member) if member.isreg() else None
            if source is None:
                raise DownloadError(f"{path} holds {member.name!r}, a link or device: refused.")
            with source:
                _write(source, target, allowance)


def _write(source: IO[bytes], target: Path, allowance: _Allowance) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        while chunk := source.read(CHUNK):
            allowance.spend(len(chunk))
            stream.write(chunk)


def _target(path: Path, folder: Path, name: str) -> Path:
    """Return where a member goes. Its name must be safe on every operating system, not only on this one."""
    inside = PureWindowsPath(name)  # splits at / and \, knows drives
    if inside.anchor or ".." in inside.parts or "\0" in name or any(":" in part for part in inside.parts):
        raise DownloadError(f"{path} holds {name!r}, which would be written outside its folder: refused.")
    return folder.joinpath(*inside.parts)


@contextmanager
def _archive_errors(path: Path) -> Iterator[None]:
    damaged = (
        *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
        *(struct.error, EOFError, NotImplementedError),
    )
    try:
        yield
    except (DownloadError, StorageError):
        raise
    except (*damaged, RuntimeError, OSError) as error:  # zipfile's error where a password is needed
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault; EINVAL is a position before the file's start, given by a damaged directory
        raise DownloadError(
            f"{path} is damaged or of an unknown kind: {error}. Delete it and fetch it again."
        ) from error
