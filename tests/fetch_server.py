"""A file server on this machine that does on request what servers on the way do by accident."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """How one request is answered; as it stands, like an honest server.

    Attributes:
        status: Status in place of 200, 206 or 416; other than those, the body is empty.
        drop: Bytes of the body after which the connection ends.
        length: `Content-Length` in place of the true one.
        whole: Whether the whole file is sent, whatever was asked for.
        unconditional: Whether `If-Range` is overlooked.
        chunked: Whether the body comes in chunks, without its length.
        stall: Whether the server stays silent after `drop` bytes, and does not hang up.
        headers: Further headers, or others; None leaves one out.
        body: Body in place of the file.
    """

    status: int | None = None
    drop: int | None = None
    length: int | None = None
    whole: bool = False
    unconditional: bool = False
    chunked: bool = False
    stall: bool = False
    headers: dict[str, str | None] = field(default_factory=dict)
    body: bytes | None = None


@dataclass
class Place:
    """A file, and how the next requests for it are answered; after those, honestly."""

    content: bytes
    etag: str = '"1"'
    answers: list[Answer] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    """The server; `places` by name, and the headers of all requests so far in `asked`."""

    daemon_threads = True

    def __init__(self) -> None:
        """Listen at a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.places: dict[str, Place] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.release = threading.Event()

    def put(self, name: str, content: bytes, *answers: Answer, etag: str = '"1"') -> str:
        """Put a file at a name; gives its address."""
        self.places[name] = Place(content, etag, list(answers))
        return self.address(name)

    def address(self, name: str) -> str:
        """Give the address of a name."""
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def ranges(self) -> list[str | None]:
        """List which ranges were asked for, in order."""
        return [headers.get("Range") for _, headers in self.asked]

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        name = self.path.lstrip("/").partition("?")[0]
        self.server.asked.append((name, dict(self.headers.items())))
        place = self.server.places.get(name)
        self.close_connection = True
        if place is None:
            self._head(404, {"Content-Length": "0"})
            return
        answer = place.answers.pop(0) if place.answers else Answer()
        content = place.content if answer.body is None else answer.body
        status, body, headers = self._choose(place, answer, content)
        if answer.status is not None:
            status = answer.status
            body = body if status in (200, 206) else b""
        length = len(body) if answer.length is None else answer.length
        size = {"Transfer-Encoding": "chunked"} if answer.chunked else {"Content-Length": length}
        self._head(status, {"ETag": place.etag, **size, **headers, **answer.headers})
        self._body(body, answer)
        if answer.stall:
            self.server.release.wait()

    def _choose(
        self, place: Place, answer: Answer, content: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", place.etag) == place.etag or answer.unconditional
        if not asked or answer.whole or not same:
            return 200, content, {}
        start, size = int(asked[1]), len(content)
        if start >= size:
            return 416, b"", {"Content-Range": f"bytes */{size}"}
        return 206, content[start:], {"Content-Range": f"bytes {start}-{size - 1}/{size}"}

    def _head(self, status: int, headers: dict[str, Any]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def _body(self, body: bytes, answer: Answer) -> None:
        sent = body[: answer.drop]
        if not answer.chunked:
            self.wfile.write(sent)
            return
        self.wfile.write(b"%x\r\n%s\r\n" % (len(sent), sent))
        if answer.drop is None:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server for the length of the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
