"""One file over HTTP: resumed where it broke off, tried again, and checked when it is complete.

Own code for what is missing from pooch: resuming by ranges, and servers that lie. What
was received is kept in a part file, with a note beside it of the version that it belongs to: a
process may be killed at any time, and the next call resumes.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import IO, Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dermolib._validation import check_number, expected, require
from dermolib.datasets.download.collections import Archive, digest_title
from dermolib.io import checksum, open_file, parse_json, read_bytes

__all__ = ["Part", "RetryPolicy", "Stopped", "check_digest", "discard_part", "transfer"]

_BLOCK = 1 << 18  # bytes read at once
_HEAD = 512  # bytes that show what kind of file comes
_LONGEST = 60.0  # s between two attempts
_LONGEST_VERSION = 200  # characters
_NOTE = 2048  # bytes of a note: more than the escaped characters of the longest
_SHOWN = 60  # bytes of an error that a server words
_TEMPORARY = {408, 416, 425, 429, 500, 502, 503, 504}  # answers that another attempt may change
_RANGE = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_HTML = (b"<!doctype html", b"<html")
_JSON = re.compile(rb"\{|\[\s*[\[\]{\"\d-]")  # a table may begin with the column [id]
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_REPLACED = "The file was replaced on the server, or a proxy answers in its place."
_PAGE = "A login or error page was sent instead: open the address by hand."


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a server is tried.

    Attributes:
        attempts: Attempts in a row that may bring no new byte, 1 or more.
        pause: Seconds before the second attempt, 0 or more; each later pause is twice as long, up
            to 60.
        timeout: Seconds that a server may be silent, above 0.

    Raises:
        TypeError: One of them is not a number.
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
    """The caller wants the transfer to end; what was received is kept."""


class _RetryError(Exception):
    """An attempt failed in a way that another one may mend."""


class Part:
    """What was received of a file, and a note of its version and contents in ``NAME.part.json``."""

    def __init__(self, path: Path) -> None:
        """Look at what is there, and refuse files that no earlier call has left."""
        self.path, self.note_path = path, path.with_name(f"{path.name}.json")
        paths = [one for one in (path, self.note_path) if os.path.lexists(one)]
        odd = any(one.is_symlink() or not one.is_file() for one in paths)
        got = "a file without one" if not odd else "something other than files"
        what = f"left by an earlier call, with its note {self.note_path.name} beside it"
        ours = not odd and (self.note_path.exists() or not path.exists())
        require(ours, str(path), what, got, "Move it away, and call again.")
        self.size = path.stat().st_size if path.exists() else 0
        self.note: dict[str, Any] = {}
        self._sum = 0  # CRC-32 of what was received

    def recall(self) -> None:
        """Take the note of an earlier call, where what was received is as it says."""
        try:
            note = dict(parse_json(read_bytes(self.note_path)))
            with open_file(self.path) as file:
                total = checksum(file, note["size"])
            if note["check"] != _check(note, total):
                return
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return
        os.truncate(self.path, note["size"])  # a kill may come between the file and its note
        self.note, self.size, self._sum = note, note["size"], total

    def describe(self, headers: HTTPMessage, total: int | None) -> None:
        """Note what the server says of the version, before the first byte of it is written."""
        etag = headers.get("ETag", "")
        if not etag or etag.startswith("W/"):  # a weak one may stand for several versions
            etag = headers.get("Last-Modified", "")
        self.note = {"total": total, "version": etag if len(etag) <= _LONGEST_VERSION else ""}
        self.note_path.touch()
        self.path.touch()
        self._write_note()

    def append(self, block: bytes) -> None:
        """Add what came; the system has it when this returns, even if the process is killed."""
        with self.path.open("ab", buffering=0) as file:
            left = memoryview(block)
            while left:
                left = left[file.write(left) :]
        self.size += len(block)
        self._sum = zlib.crc32(block, self._sum)
        self._write_note()

    def discard(self) -> None:
        """Delete what was received."""
        discard_part(self.path)
        self.size, self.note, self._sum = 0, {}, 0

    def _write_note(self) -> None:
        self.note["size"] = self.size
        self.note["check"] = _check(self.note, self._sum)
        # All at once and of one length, so that a kill leaves the one before or this one
        with self.note_path.open("r+b", buffering=0) as file:
            file.write(json.dumps(self.note).encode("ascii").ljust(_NOTE))


def _check(note: dict[str, Any], total: int) -> int:
    """Give the CRC-32 of a note and of what was received."""
    values = [note.get(key) for key in ("total", "version", "size")]
    return zlib.crc32(json.dumps(values).encode("ascii"), total)


def discard_part(path: Path) -> None:
    """Delete a part file and its note, where they are; a file without a note is not ours."""
    note = path.with_name(f"{path.name}.json")
    if note.is_file():
        path.unlink(missing_ok=True)
        note.unlink()


def check_digest(file: Archive, path: Path) -> tuple[str, str]:
    """Return the SHA-256 of a file, and its digest of the known kind where that differs."""
    algorithm, _, digest = (file.digest or "sha256:").partition(":")
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha256", algorithm)}
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            for state in hashes.values():
                state.update(block)
    found = hashes[algorithm].hexdigest()
    return hashes["sha256"].hexdigest(), "" if digest.lower() in ("", found) else found


def transfer(
    file: Archive,
    path: Path,
    *,
    retry: RetryPolicy,
    wait: Callable[[float], object],
    report: Callable[[int, int | None], object],
    origin: str = "the published file",
    hint: str = "",
) -> str:
    """Complete a part file, whatever of it is there already; returns its SHA-256.

    A part is resumed only where the server says that it belongs to the same version (an `ETag` or a
    date), or where a digest decides in the end; else the file starts over. A digest that differs
    after a resumed transfer is tried once more from the first byte. The part and its note stay when
    the file is complete: the caller moves it to its place, and calls `discard_part`.

    `wait` waits so many seconds, 0 while bytes come, and ends the transfer if it returns True, as
    `threading.Event.wait` does; `report` is called with the bytes that are there and the size of
    the file where it is known; `origin` and `hint` are words of errors.
    """
    run = _Transfer(file, Part(path), retry, wait, report, origin)
    while True:
        resumed = run.part.size > 0
        run.complete()
        sha256, other = check_digest(file, path)
        if not other:
            return sha256
        run.part.discard()
        if not resumed:
            digest = str(file.digest).partition(":")[2].lower()
            what = f"{origin}, with the {digest_title(file)} {digest}"
            again = "if that does not help, the file was replaced on the server."
            hint = f"It was deleted. Call again; {again} {hint}".rstrip()
            raise ValueError(expected(file.name, what, other, hint))


@dataclass
class _Transfer:
    """The attempts to complete a part."""

    file: Archive
    part: Part
    retry: RetryPolicy
    wait: Callable[[float], object]
    report: Callable[[int, int | None], object]
    origin: str
    least: float = 0.0  # s that the server asked to wait

    @property
    def total(self) -> int | None:
        """Size of the whole file, as published or else as the server states it."""
        return self.file.size if self.file.size is not None else self.part.note.get("total")

    def complete(self) -> None:
        """Try until the file is complete."""
        self.part.recall()
        if not (self.file.digest or self.part.note):
            self.part.discard()  # nothing could show that it is what came
        if self.total is not None and self.part.size > self.total:
            self.part.discard()
        urls, idle, most = list(self.file.urls), 0, self.part.size
        while self.part.size != self.total:
            if not (self.file.digest or self.part.note.get("version")):
                self.part.discard()  # nor that the rest is of the same version
            trouble = self._attempt(urls)
            if self.part.size == self.total:
                break
            idle = 0 if self.part.size > most else idle + 1
            most = max(most, self.part.size)
            if idle >= self.retry.attempts:
                what = f"sent completely by {urls[0]}"
                raise ConnectionError(expected(self.file.name, what, trouble, self._kept()))
            pause = self.retry.pause * 2 ** max(idle - 1, 0)
            self._wait(min(max(pause, self.least), _LONGEST))
        if not self.part.size:
            self.part.path.touch()  # where the published size is 0, nothing has come
        self.report(self.part.size, self.total)

    def _wait(self, seconds: float) -> None:
        if self.wait(seconds):
            raise Stopped

    def _kept(self) -> str:
        if not self.part.size:
            return "Call again later, or get it by other means and put it there."
        return (
            f"Call again later: the {self.part.size:,} bytes received so far are kept in "
            f"{self.part.path.name}, and the next call resumes from there."
        )

    def _attempt(self, urls: list[str]) -> str:
        """Get as much as comes; returns what went wrong, in words."""
        self.least = 0.0
        try:
            with self._open(urls) as response:
                if response.status == 206 and self.part.size:
                    self._resume(response.headers)
                else:
                    self._append(self._begin(response))
                while block := _read(response.read1, _BLOCK):
                    self._append(block)
        except _RetryError as trouble:
            return str(trouble)
        return f"{self.part.size:,} of {self.total:,} bytes"

    def _append(self, block: bytes) -> None:
        if self.total is not None and self.part.size + len(block) > self.total:
            self.part.discard()
            what = f"a file of {self.total:,} bytes"
            raise ValueError(expected(self.file.name, what, "a longer one", _REPLACED))
        self.part.append(block)
        self.report(self.part.size, self.total)
        self._wait(0)

    def _open(self, urls: list[str]) -> HTTPResponse:
        headers = {"User-Agent": "dermolib", "Accept-Encoding": "identity"}
        if self.part.size:
            headers["Range"] = f"bytes={self.part.size}-"
        if self.part.size and self.part.note.get("version"):
            headers["If-Range"] = self.part.note["version"]
        while True:
            request = Request(urls[0], headers=headers)  # noqa: S310 - `Archive` checks the scheme
            try:
                response: HTTPResponse = _OPENER.open(request, timeout=self.retry.timeout)
            except HTTPError as error:
                with error:
                    self._check_refusal(error, last=len(urls) == 1)
                del urls[0]
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", error)
                words = str(reason) or type(reason).__name__
                if not isinstance(reason, SSLCertVerificationError):
                    raise _RetryError(words) from error
                what = f"on a server with a valid certificate ({urls[0]})"
                message = expected(self.file.name, what, words, self._kept())
                raise ConnectionError(message) from error
            else:
                return response

    def _check_refusal(self, error: HTTPError, *, last: bool) -> None:
        """Settle what a refusal means: all is there, try again, try elsewhere, or give up."""
        answer = f"the answer {error.code} {error.reason}"
        if error.code == 416:
            self._check_end(error.headers.get("Content-Range", ""))
        if error.code in _TEMPORARY:
            after = error.headers.get("Retry-After", "")
            self.least = float(after) if after.isdigit() else 0.0
            raise _RetryError(answer)
        if last:
            what = f"a file at {error.url}"
            raise ConnectionError(expected(self.file.name, what, answer, self._kept()))

    def _check_end(self, stated: str) -> None:
        """Settle whether all has come, where the server has nothing from here on."""
        match = _RANGE.fullmatch(stated)
        total = int(match[2]) if match and match[2].isdigit() else self.total
        if total == self.part.size and self.total in (None, total):
            self.part.note["total"] = total
        else:
            self.part.discard()

    def _begin(self, response: HTTPResponse) -> bytes:
        """Begin with the first bytes; nothing is discarded for an answer of no use."""
        if response.status != 200:
            raise _RetryError(f"the answer {response.status} {response.reason}")
        head = _read(response.read, _HEAD)
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdigit() else None
        if len(head) < min(len(_ZIP[0]), total or 0):
            raise _RetryError(f"{len(head)} of {total:,} bytes")  # too few to show the kind
        self._check_kind(response, head)
        self._check_total(total)
        self.part.discard()
        self.part.describe(response.headers, total)
        return head

    def _resume(self, headers: HTTPMessage) -> None:
        """Check that the rest begins where the part ends, and is of its version."""
        match = _RANGE.fullmatch(headers.get("Content-Range", ""))
        start, stated = match.groups() if match else (None, "*")
        total = self.total if stated == "*" else int(stated)
        sized = total is not None and self.total in (None, total)
        version = self.part.note.get("version", "")
        same = not version.startswith('"') or headers.get("ETag", version) == version
        if start != str(self.part.size) or not (same and sized):
            self.part.discard()
            raise _RetryError("a file that changed meanwhile")
        if self.part.note.get("total") is None:
            self.part.describe(headers, total)

    def _check_total(self, total: int | None) -> None:
        name, size = self.file.name, self.file.size
        what = "a file whose size the server states"
        require(total is not None or size is not None, name, what, "one without")
        what = f"{self.origin}, of {size or 0:,} bytes"
        got = f"one of {total or 0:,}, as the server states"
        require(None in (total, size) or total == size, name, what, got, _REPLACED)

    def _check_kind(self, response: HTTPResponse, head: bytes) -> None:
        """Refuse a page in place of the file, and a zip file that does not begin as one."""
        zipped, table = (self.file.name.lower().endswith(kind) for kind in (".zip", ".csv"))
        packing = response.headers.get("Content-Encoding", "identity")
        page = _error_page(response.headers, head, table=table)
        got = page
        if not page and packing != "identity":
            got = f"one packed as {packing}"
        elif not page and (zipped or table) and not head:
            got = "an empty one"
        elif not page and zipped and not head.startswith(_ZIP):
            got = f"one that begins with {head[:8]!r}"
        what = f"{'a zip' if zipped else 'the plain'} file at {response.url}"
        require(not got, self.file.name, what, got, _PAGE if page else "")


def _error_page(headers: HTTPMessage, head: bytes, *, table: bool) -> str:
    """Name a page, or for a table an error in words, that comes in place of a file."""
    kind = headers.get_content_type()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind == "text/html" or head.lower().startswith(_HTML):
        title = _TITLE.search(head)
        words = _text(title[1]) if title else ""
        return f"an HTML page titled {words!r}" if words else "an HTML page"
    form = ""
    if kind in ("application/xml", "text/xml") or head.startswith(b"<"):
        form = "XML"
    elif kind == "application/json" or _JSON.match(head):
        form = "JSON"
    return f"{form} that begins with {_text(head[:_SHOWN])!r}" if table and form else ""


def _text(data: bytes) -> str:
    return " ".join(data.decode("utf-8", "replace").split())


def _read(read: Callable[[int], bytes], count: int) -> bytes:
    try:
        return read(count)
    except (OSError, HTTPException) as error:
        raise _RetryError(str(error) or type(error).__name__) from error


class _Redirects(HTTPRedirectHandler):
    """Follows redirections to http and https alone, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        allowed = "https://" if req.full_url.startswith("https://") else ("https://", "http://")
        if not newurl.startswith(allowed):
            words = f"and a redirection to {newurl}, which is not followed"
            raise HTTPError(req.full_url, code, words, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = build_opener(_Redirects)
