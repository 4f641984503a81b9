"""One file over HTTP: taken up where it broke off, tried again, and checked when it is whole.

What has come lies in a partial file, with a note beside it (the same name and ``.json``) of the
version that it belongs to. A process may be killed at any time: the next call goes on from there.
"""

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.error import HTTPError

from dermolib._validation import check_number, expected
from dermolib.datasets.download.part import Part, forget
from dermolib.datasets.download.web import open_url, stand_in

__all__ = ["Fetched", "Patience", "Remote", "Stopped", "digest_of", "fetch", "forget"]

_BLOCK = 1 << 18  # bytes read at once
_HEAD = 512  # bytes that tell what kind of file comes
_LONGEST = 60.0  # s between two attempts
_AGAIN = {408, 425, 429, 500, 502, 503, 504}  # answers that another attempt may change
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_REPLACED = "The file was replaced there, or something in between answers in its place."
_TITLES = {"sha256": "SHA-256", "md5": "MD5"}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class Remote:
    """What is known of a file before it is fetched.

    Attributes:
        name: Name of the file, for errors; what ends in .zip must begin as a zip does, what ends in
            .csv is neither JSON nor XML, and neither is empty.
        urls: Where it is, http or https; one that refuses gives way to the next.
        size: Size in bytes, or None where it is unknown.
        digest: ``"sha256:…"`` or ``"md5:…"`` in hexadecimal, or None where none is known.
        origin: Whose digest and size they are, for errors.
        remedy: What else can be done where the digest differs, for errors.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    digest: str | None = None
    origin: str = "its publisher"
    remedy: str = ""


@dataclass(frozen=True)
class Fetched:
    """A whole file.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 in hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        attempts: Attempts in a row that may bring no new byte, 1 or more.
        pause: Seconds before the second attempt, 0 or more; each later pause is twice as long, up
            to 60.
        timeout: Seconds that a server may be silent, above 0.

    Raises:
        TypeError: One of them is no number.
        ValueError: One of them is out of range.
    """

    attempts: int = 6
    pause: float = 1.0
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_number(self.attempts, "attempts", low=1, integer=True)
        check_number(self.pause, "pause", low=0)
        check_number(self.timeout, "timeout", above=0)


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """The caller wants the transfer to end; what has come is kept."""


class _TroubleError(Exception):
    """An attempt failed in a way that another one may mend."""


def fetch(
    remote: Remote,
    part: Path,
    *,
    patience: Patience | None = None,
    wait: Callable[[float], object] | None = None,
    advance: Callable[[int], object] | None = None,
    state: Callable[[int], object] | None = None,
) -> Fetched:
    """Bring a partial file to the whole one, whatever of it is there already.

    A part is taken up only where the server says that it belongs to the same version (an `ETag` or
    a date), or where a digest is known that decides in the end; else the file is fetched anew. A
    digest that differs after that is tried once more from the first byte. The part and its note
    stay when the file is whole: the caller moves it to its place, and calls `forget`.

    Args:
        remote: What to fetch.
        part: Partial file, in a folder that exists.
        patience: How often and how long to try; None for the defaults.
        wait: Waits so many seconds, 0 while bytes come; what it returns ends the transfer if true,
            as that of `threading.Event.wait` does.
        advance: Told the bytes that come, those that were there, and, as a negative number, those
            that turned out to be of no use.
        state: Told the size of the whole file once, when the server states it.

    Returns:
        Size and digest of the whole file.

    Raises:
        ConnectionError: The server cannot be reached, refuses, or does not give the whole file.
        OSError: The part cannot be written.
        Stopped: `wait` returned what is true.
        ValueError: What comes is another file: of another size or digest, or a page in its place;
            an address is not one of http or https; or the part is a file of someone else.
    """
    transfer = _Transfer(remote, part, patience or Patience(), wait, advance, state)
    found = transfer.complete()
    if not _agrees(found, remote.digest) and transfer.resumed:
        transfer.part.discard()
        found = transfer.complete()
    if not _agrees(found, remote.digest):
        transfer.part.discard()
        algorithm, _, digest = str(remote.digest).partition(":")
        what = f"the file of {remote.origin}, with the {_TITLES[algorithm]} {digest.lower()}"
        remedy = "It was thrown away. Call again; if this lasts, the file was replaced there."
        remedy = f"{remedy} {remote.remedy}".rstrip()
        raise ValueError(expected(remote.name, what, found[algorithm], remedy))
    return Fetched(transfer.part.size, found["sha256"])


def digest_of(path: Path, algorithm: str) -> str:
    """Digest a file.

    Args:
        path: File.
        algorithm: ``"sha256"`` or ``"md5"``.

    Returns:
        Digest in hexadecimal.
    """
    return _digests(path, {algorithm})[algorithm]


def _agrees(found: dict[str, str], digest: str | None) -> bool:
    algorithm, _, value = (digest or "sha256:").partition(":")
    return not value or found[algorithm] == value.lower()


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    """Read a file once for all digests of it."""
    # MD5 is what some archives publish: it tells damage, though not malice
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            for state in hashes.values():
                state.update(block)
    return {name: state.hexdigest() for name, state in hashes.items()}


class _Transfer:
    """The attempts to complete a part."""

    def __init__(
        self,
        remote: Remote,
        path: Path,
        patience: Patience,
        wait: Callable[[float], object] | None,
        advance: Callable[[int], object] | None,
        state: Callable[[int], object] | None,
    ) -> None:
        self.remote, self.patience, self.state = remote, patience, state
        self.wait = wait or threading.Event().wait
        self.least = 0.0  # s that the server asked to wait
        self.part = Part(path, advance or (lambda _: None))
        if self.total is not None and self.part.size > self.total:
            self.part.discard()
        self.resumed = self.part.size > 0

    @property
    def total(self) -> int | None:
        """Size of the whole file, as published or else as the server states it."""
        return self.remote.size if self.remote.size is not None else self.part.note.get("total")

    def complete(self) -> dict[str, str]:
        """Try until the file is whole, and digest it."""
        urls = list(self.remote.urls)
        idle, most = 0, self.part.size
        while self.part.size != self.total:
            if not (self.remote.digest or self.part.version):
                self.part.discard()  # nothing could tell that the rest is of the same version
            trouble = self._attempt(urls)
            if self.part.size == self.total:
                break
            idle = 0 if self.part.size > most else idle + 1
            most = max(most, self.part.size)
            if idle >= self.patience.attempts:
                what = f"a file that {urls[0]} gives whole"
                raise ConnectionError(expected(self.remote.name, what, trouble, self._kept()))
            pause = self.patience.pause * 2 ** max(idle - 1, 0)
            self._heed(min(max(pause, self.least), _LONGEST))
        if not self.part.size:
            self.part.path.touch()  # where the published size is 0, nothing has come
        algorithm = (self.remote.digest or "sha256:").partition(":")[0]
        return _digests(self.part.path, {"sha256", algorithm})

    def _heed(self, seconds: float) -> None:
        if self.wait(seconds):
            raise Stopped

    def _kept(self) -> str:
        if not self.part.size:
            return "Call again later, or fetch it by other means and put it there."
        return (
            f"Call again later: the {self.part.size:,} bytes that have come are kept in "
            f"{self.part.path.name}, and it goes on from there."
        )

    def _attempt(self, urls: list[str]) -> str:
        """Fetch as much as comes; what went wrong, in words."""
        self.least = 0.0
        try:
            with self._open(urls) as response:
                block = self._begin(response) or _read(response.read1, _BLOCK)
                self._tell()
                while block:
                    self._append(block)
                    block = _read(response.read1, _BLOCK)
        except _TroubleError as trouble:
            return str(trouble)
        return f"{self.part.size:,} of {self.total:,} bytes"

    def _tell(self) -> None:
        if self.state is not None and self.total is not None:
            self.state(self.total)
            self.state = None

    def _append(self, block: bytes) -> None:
        if self.total is not None and self.part.size + len(block) > self.total:
            self.part.discard()
            what = f"a file of {self.total:,} bytes"
            raise ValueError(expected(self.remote.name, what, "a longer one", _REPLACED))
        self.part.append(block)
        self._heed(0)

    def _open(self, urls: list[str]) -> HTTPResponse:
        while True:
            try:
                response = open_url(urls[0], self._headers(), timeout=self.patience.timeout)
            except HTTPError as error:
                with error:
                    self._refused(error, last=len(urls) == 1)
                del urls[0]
            except (OSError, HTTPException) as error:
                raise self._unreached(urls[0], error) from error
            else:
                return response

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": "dermolib", "Accept-Encoding": "identity"}
        if self.part.size:
            headers["Range"] = f"bytes={self.part.size}-"
            if self.part.version:
                headers["If-Range"] = self.part.version
        return headers

    def _refused(self, error: HTTPError, *, last: bool) -> None:
        """Say what a refusal means: all is there, try again, try elsewhere, or give up."""
        answer = f"the answer {error.code} {error.reason}"
        if error.code == 416:
            self._past_the_end(error.headers.get("Content-Range", ""))
        if error.code in (*_AGAIN, 416):
            after = error.headers.get("Retry-After", "")
            self.least = float(after) if after.isdigit() else 0.0
            raise _TroubleError(answer)
        if last:
            what = f"a file at {error.url}"
            raise ConnectionError(expected(self.remote.name, what, answer, self._kept()))

    def _past_the_end(self, stated: str) -> None:
        """Settle whether all has come, where the server has nothing from here on."""
        match = _RANGE.fullmatch(stated)
        total = int(match[2]) if match and match[2].isdigit() else self.total
        if total == self.part.size and self.total in (None, total):
            self.part.note["total"] = total
        else:
            self.part.discard()

    def _unreached(self, url: str, error: Exception) -> Exception:
        reason = getattr(error, "reason", error)
        words = str(reason) or type(reason).__name__
        if isinstance(reason, SSLCertVerificationError):
            what = f"on a server that proves to be the one of {url}"
            return ConnectionError(expected(self.remote.name, what, words, self._kept()))
        return _TroubleError(words)

    def _begin(self, response: HTTPResponse) -> bytes:
        """Settle from where on the bytes count; nothing is thrown away for an answer of no use."""
        if response.status == 206 and self.part.size:
            self._go_on(response.headers)
            return b""
        if response.status != 200:
            raise _TroubleError(f"the answer {response.status} {response.reason}")
        head = _read(response.read, _HEAD)
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if len(head) < min(len(_ZIP[0]), total or 0):
            raise _TroubleError(f"{len(head)} of {total:,} bytes")  # too few to tell the kind
        self._check_kind(response, head)
        self._check_total(total)
        self.part.discard()
        self.part.describe(_described(response.headers, total))
        return head

    def _go_on(self, headers: HTTPMessage) -> None:
        match = _RANGE.fullmatch(headers.get("Content-Range", ""))
        start, total = (match[1], match[2]) if match else (None, "*")
        noted = self.part.note.get("etag")
        same = noted is None or headers.get("ETag", noted) == noted
        sized = total == "*" or self.total in (None, int(total))
        if start != str(self.part.size) or not (same and sized):
            self.part.discard()
            raise _TroubleError("a file that changed in between")
        if not self.part.note:
            self.part.describe(_described(headers, None if total == "*" else int(total)))

    def _check_total(self, total: int | None) -> None:
        size = self.remote.size
        if total is None and size is None:
            what = "a file whose size the server states"
            raise ValueError(expected(self.remote.name, what, "one without"))
        if total is not None and size is not None and total != size:
            what = f"the file of {self.remote.origin}, of {size:,} bytes"
            got = f"one of {total:,}, as the server states"
            raise ValueError(expected(self.remote.name, what, got, _REPLACED))

    def _check_kind(self, response: HTTPResponse, head: bytes) -> None:
        """Refuse a page that stands in for the file, and a file that is no zip."""
        zipped, table = (self.remote.name.lower().endswith(kind) for kind in (".zip", ".csv"))
        packing = response.headers.get("Content-Encoding", "identity")
        remedy = ""
        got = stand_in(response.headers, head, table=table)
        if got:
            remedy = "A login or an error page stands in between: open the address by hand."
        elif packing != "identity":
            got = f"one packed as {packing}"
        elif (zipped or table) and not head:
            got = "an empty one"
        elif zipped and not head.startswith(_ZIP):
            got = f"one that begins with {head[:8]!r}"
        else:
            return
        what = f"{'a zip' if zipped else 'the plain'} file at {response.url}"
        raise ValueError(expected(self.remote.name, what, got, remedy))


def _described(headers: HTTPMessage, total: int | None) -> dict[str, int | str | None]:
    """Say which version comes; a weak `ETag` may stand for several, so that it tells none."""
    etag = headers.get("ETag", "")
    return {
        "total": total,
        "etag": "" if etag.startswith("W/") else etag,
        "modified": headers.get("Last-Modified", ""),
    }


def _read(read: Callable[[int], bytes], count: int) -> bytes:
    try:
        return read(count)
    except (OSError, HTTPException) as error:
        raise _TroubleError(str(error) or type(error).__name__) from error
