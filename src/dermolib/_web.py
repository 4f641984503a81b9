"""Requests over http and https alone, also where a server sends them elsewhere."""

from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dermolib._checks import expected

__all__ = ["open_url"]

_SCHEMES = ("https://", "http://")


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
