"""Requests over http and https alone, also where a server sends them elsewhere."""

import re
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dermolib._validation import expected

__all__ = ["open_url", "stand_in"]

_SCHEMES = ("https://", "http://")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_HTML = (b"<!doctype html", b"<html")
_JSON = re.compile(rb"\{|\[\s*[\[\]{\"\d-]")  # a table may begin with the column [id]
_SHOWN = 60  # bytes of an error that a server words


def open_url(url: str, headers: dict[str, str], *, timeout: float) -> HTTPResponse:
    """Open an address; redirections are followed to http and https, and never from https to http.

    Args:
        url: Address.
        headers: Headers of the request.
        timeout: Seconds that the server may be silent.

    Returns:
        The answer, whose body has not been read.

    Raises:
        OSError: The server cannot be reached, or refuses; the latter as `urllib.error.HTTPError`.
        ValueError: The address is not one of http or https.
    """
    if not url.startswith(_SCHEMES):
        raise ValueError(expected("url", "an address of https:// or http://", repr(url)))
    request = Request(url, headers=headers)  # noqa: S310 - checked above
    response: HTTPResponse = _OPENER.open(request, timeout=timeout)
    return response


def stand_in(headers: HTTPMessage, head: bytes, *, table: bool) -> str:
    """Name a page, or for a table an error in words, that comes in place of a file.

    Args:
        headers: Headers of the answer.
        head: First bytes of its body.
        table: Whether the file is a table, which is neither JSON nor XML.

    Returns:
        What it is, in words; empty where it may be the file.
    """
    kind = headers.get_content_type()
    head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if kind == "text/html" or head.lower().startswith(_HTML):
        title = _TITLE.search(head)
        words = _text(title[1]) if title else ""
        return f"an HTML page titled {words!r}" if words else "an HTML page"
    if not table:
        return ""
    begin = f"that begins with {_text(head[:_SHOWN])!r}"
    if kind in ("application/xml", "text/xml") or head.startswith(b"<"):
        return f"XML {begin}"
    return f"JSON {begin}" if kind == "application/json" or _JSON.match(head) else ""


def _text(data: bytes) -> str:
    return " ".join(data.decode("utf-8", "replace").split())


class _Redirects(HTTPRedirectHandler):
    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        allowed = _SCHEMES[:1] if req.full_url.startswith("https://") else _SCHEMES
        if not newurl.startswith(allowed):
            words = f"and a redirection to {newurl}, which is not followed"
            raise HTTPError(req.full_url, code, words, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = build_opener(_Redirects)
