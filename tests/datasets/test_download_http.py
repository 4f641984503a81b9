"""One file over HTTP, from a server that drops, lies, changes its mind and stays silent."""

import hashlib
import json
import re
import ssl
import zlib
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.download import Archive, RetryPolicy
from dermolib.datasets.download import http as _http
from dermolib.datasets.download.http import Stopped, discard_part, transfer
from fetch_server import Answer, Server

BYTES = bytes(range(256)) * 40  # 10,240 bytes without any HTML in them
SHA256 = hashlib.sha256(BYTES).hexdigest()
DIGEST = f"sha256:{SHA256}"


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a.bin.part"


def get(*urls: str, part: Path, name: str = "a.bin", wait: Any = None, **options: Any) -> str:
    """Get a file; options of `RetryPolicy` and what is known of the file are told apart by name."""
    known = {key: options.pop(key) for key in ("size", "digest") if key in options}
    retry = RetryPolicy(**{"attempts": 3, "pause": 0, "timeout": 5, **options})
    reports: list[tuple[int, int | None]] = []
    sha256 = transfer(
        Archive(name, "all", urls, **known),
        part,
        retry=retry,
        wait=wait or (lambda _: None),
        report=lambda *report: reports.append(report),
    )
    size = part.stat().st_size
    assert reports[-1] == (size, size)
    return sha256


def leave(
    part: Path, content: bytes, *, version: str, total: int | None = None, **others: Any
) -> None:
    """Leave what an earlier call would have left; the note may say something else."""
    part.write_bytes(content)
    known = json.dumps([total, version, len(content)]).encode()
    note = {"total": total, "version": version, "size": len(content)}
    note["check"] = zlib.crc32(known, zlib.crc32(content))
    part.with_name(f"{part.name}.json").write_text(json.dumps(note | others))


@pytest.mark.parametrize("known", [{}, {"size": len(BYTES), "digest": DIGEST}])
def test_a_file_comes_whole_and_can_be_discarded(
    server: Server, part: Path, known: dict[str, Any]
) -> None:
    url = server.put("a.bin", BYTES)

    assert get(url, part=part, **known) == SHA256
    assert part.read_bytes() == BYTES
    discard_part(part)
    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize("known", [{}, {"size": 0}])
def test_an_empty_file_comes_too(server: Server, part: Path, known: dict[str, Any]) -> None:
    get(server.put("a.bin", b""), part=part, **known)

    assert part.read_bytes() == b""


def test_a_dropped_connection_is_resumed_where_it_broke_off(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000), Answer(drop=100))

    get(url, part=part)

    assert part.read_bytes() == BYTES
    assert server.ranges() == [None, "bytes=3000-", "bytes=3100-"]
    assert [headers.get("If-Range") for _, headers in server.asked] == [None, '"1"', '"1"']


@settings(max_examples=25)
@given(
    content=st.binary(min_size=1000, max_size=3000).map(lambda block: b"\x00" + block),
    drops=st.lists(st.integers(0, 900), max_size=4),
    kinds=st.lists(st.sampled_from(["plain", "whole", "chunked"]), min_size=4, max_size=4),
    there=st.integers(0, 900),
)
def test_whatever_is_dropped_the_file_is_the_same(
    shared_server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    drops: list[int],
    kinds: list[str],
    there: int,
) -> None:
    part = tmp_path_factory.mktemp("law") / "a.bin.part"
    leave(part, content[:there], version='"1"', total=len(content))
    answers = [
        Answer(drop=drop, whole=kind == "whole", chunked=kind == "chunked")
        for drop, kind in zip(drops, kinds, strict=False)
    ]
    url = shared_server.put("law", content, *answers)

    sha256 = get(url, part=part, size=len(content), attempts=9)

    assert part.read_bytes() == content
    assert sha256 == hashlib.sha256(content).hexdigest()


def test_pauses_double_up_to_a_minute_and_a_server_may_ask_for_longer_ones(
    server: Server, part: Path
) -> None:
    busy = [Answer(status=code) for code in (503, 500, 429)]
    asked = [Answer(status=503, headers={"Retry-After": after}) for after in ("9", "86400")]
    url = server.put("a.bin", BYTES, *busy, *asked, Answer(drop=50))
    waits: list[float] = []

    get(url, part=part, attempts=6, pause=1, wait=lambda s: waits.append(s) if s else None)

    assert waits == [1, 2, 4, 9, 60, 1]
    assert part.read_bytes() == BYTES


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"attempts": 0}, "`attempts` to be an integer of 1 or more, but got 0."),
        ({"pause": -1}, "`pause` to be a number of 0 or more, but got -1."),
        ({"timeout": 0}, "`timeout` to be a number above 0, but got 0."),
    ],
)
def test_a_retry_policy_without_sense_is_refused(option: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=f"^Expected {re.escape(words)}$"):
        RetryPolicy(**option)


@pytest.mark.parametrize(
    ("answers", "requests", "words"),
    [
        (
            [Answer(drop=4000), *[Answer(drop=0)] * 3],
            4,
            "sent completely by {url}, but got 4,000 of 10,240 bytes. Call again later: the "
            "4,000 bytes received so far are kept in a.bin.part, and the next call resumes from",
        ),
        ([Answer(drop=4000, whole=True)] * 20, 4, "but got 4,000 of 10,240 bytes."),
        ([Answer(length=20_000, whole=True)] * 9, 4, "but got 10,240 of 20,000 bytes."),
        ([Answer(status=500)] * 9, 3, "but got the answer 500 Internal Server Error."),
        ([Answer(status=204)] * 9, 3, "but got the answer 204 No Content."),
        (
            [Answer(status=403)],
            1,
            "a file at {url}, but got the answer 403 Forbidden. Call again later, or get it by "
            "other means and put it there.",
        ),
        ([Answer(status=404)], 1, "a file at {url}, but got the answer 404 Not Found."),
        *(
            ([Answer(status=302, headers={"Location": target})], 1, "but got the answer 302 ")
            for target in ("file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a")
        ),
    ],
)
def test_a_server_that_does_not_send_the_file_is_given_up_and_what_came_is_kept(
    server: Server, part: Path, answers: list[Answer], requests: int, words: str
) -> None:
    url = server.put("a.bin", BYTES, *answers)

    with pytest.raises(ConnectionError, match=re.escape(words.format(url=url))):
        get(url, part=part)

    assert len(server.asked) == requests
    kept = len(part.read_bytes()) if part.exists() else 0
    server.put("a.bin", BYTES)
    assert get(url, part=part) == SHA256
    assert (f"bytes={kept}-" if kept else None) in server.ranges()[requests:]


def test_a_server_that_is_not_there_is_reported(part: Path) -> None:
    with pytest.raises(ConnectionError, match=r"but got \[Errno \d+\] .*refused"):
        get("http://127.0.0.1:9/a.bin", part=part)


@pytest.mark.parametrize("whole", [True, False])
def test_a_server_that_ignores_ranges_is_understood(
    server: Server, part: Path, whole: bool
) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000, whole=whole), Answer(whole=True))

    get(url, part=part)

    assert part.read_bytes() == BYTES


OLD = b"old" * 1000
ODD_ENDS: list[dict[str, str | None]] = [{}, {"Content-Range": "?"}, {"Content-Range": None}]


@pytest.mark.parametrize(
    ("content", "total", "answer", "known", "ranges"),
    [
        (OLD, 10240, Answer(headers={"ETag": '"2"'}, whole=True), {}, ["bytes=3000-"]),
        (OLD, 10240, Answer(headers={"ETag": '"2"'}), {}, ["bytes=3000-", None]),
        (OLD, None, Answer(), {"digest": DIGEST}, ["bytes=3000-", None]),
        (BYTES[:3000], 5000, Answer(), {}, ["bytes=3000-", None]),
        (BYTES + b"more", None, Answer(), {"size": 10240}, [None]),
        *(
            (BYTES + b"more", None, Answer(headers=headers), {}, ["bytes=10244-", None])
            for headers in ODD_ENDS
        ),
        *(
            (
                BYTES[:3000],
                10240,
                Answer(206, whole=True, body=BYTES[2000:9240], headers={"Content-Range": stated}),
                {},
                ["bytes=3000-", None],
            )
            for stated in ("bytes 2000-10239/10240", "nonsense", None)
        ),
    ],
    ids=[
        *("changed", "changed, If-Range ignored", "found by the digest", "grown"),
        *("beyond its size", "beyond the end", "odd end", "no end"),
        *("other range", "odd range", "no range"),
    ],
)
def test_a_part_of_another_version_is_replaced(
    server: Server,
    part: Path,
    content: bytes,
    total: int | None,
    answer: Answer,
    known: dict[str, Any],
    ranges: list[str | None],
) -> None:
    leave(part, content, version='"1"', total=total)
    url = server.put("a.bin", BYTES, answer)

    get(url, part=part, **known)

    assert part.read_bytes() == BYTES
    assert server.ranges() == ranges


@pytest.mark.parametrize(
    ("headers", "digest", "second"),
    [
        ({"ETag": 'W/"1"'}, None, None),
        ({"ETag": None}, None, None),
        ({"ETag": None}, DIGEST, "bytes=3000-"),
        ({"ETag": None, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, None, "bytes=3000-"),
    ],
    ids=["weak", "none", "digest", "date"],
)
def test_a_part_is_resumed_where_its_version_is_known_or_a_digest_decides(
    server: Server,
    part: Path,
    headers: dict[str, str | None],
    digest: str | None,
    second: str | None,
) -> None:
    answers = [Answer(drop=3000, headers=headers), Answer(headers=headers, unconditional=True)]
    url = server.put("a.bin", BYTES, *answers)

    get(url, part=part, digest=digest)

    assert part.read_bytes() == BYTES
    assert server.ranges() == [None, second]


def test_a_part_without_its_note_belongs_to_someone_else(server: Server, part: Path) -> None:
    part.write_bytes(b"mine")

    with pytest.raises(ValueError, match=r"to be left by an earlier call, .* without one\."):
        get(server.put("a.bin", BYTES), part=part, digest=DIGEST)
    discard_part(part)

    assert part.read_bytes() == b"mine"
    assert server.asked == []


def test_a_part_with_an_empty_note_is_resumed_where_a_digest_decides(
    server: Server, part: Path
) -> None:
    part.write_bytes(BYTES[:3000])
    part.with_name("a.bin.part.json").write_text("{}")

    get(server.put("a.bin", BYTES), part=part, digest=DIGEST)

    assert server.ranges() == ["bytes=3000-"]
    note = json.loads(part.with_name("a.bin.part.json").read_text())
    assert note["total"] == note["size"] == len(BYTES)
    assert note["version"] == '"1"'


@pytest.mark.parametrize(
    "change",
    [
        {"total": 3000},
        {"total": True},
        {"total": 10**5000},
        {"size": 2999},
        {"size": -1},
        {"size": 1.5},
        {"size": "3000"},
        {"version": '"2"'},
        {"version": ['"1"']},
        {"check": 0},
        {"check": None},
    ],
    ids=range(11),
)
def test_a_note_that_was_changed_is_as_good_as_none(
    server: Server, part: Path, change: dict[str, Any]
) -> None:
    leave(part, BYTES[:3000], version='"1"', total=len(BYTES))
    note = part.with_name("a.bin.part.json")
    text = ", ".join(f'"{key}": {_text(value)}' for key, value in change.items())
    note.write_text(f"{note.read_text()[:-1]}, {text}}}")

    get(server.put("a.bin", BYTES), part=part)

    assert part.read_bytes() == BYTES
    assert server.ranges() == [None]


def _text(value: Any) -> str:
    """Write JSON, also a number of more digits than Python reads."""
    return "1" * 5000 if value == 10**5000 else json.dumps(value)


@pytest.mark.parametrize("known", [{}, {"size": len(BYTES)}, {"digest": DIGEST}], ids=range(3))
@pytest.mark.parametrize("end", [0, 3000, 5000, len(BYTES)])
def test_what_another_program_changed_of_a_part_is_fetched_again(
    server: Server, part: Path, known: dict[str, Any], end: int
) -> None:
    leave(part, BYTES[:5000], version='"1"', total=len(BYTES))
    part.write_bytes((b"X" + BYTES[1:] if end else b"")[:end])

    get(server.put("a.bin", BYTES), part=part, **known)

    assert part.read_bytes() == BYTES


def test_a_part_of_which_the_last_bytes_were_not_noted_is_resumed(
    server: Server, part: Path
) -> None:
    leave(part, BYTES[:3000], version='"1"', total=len(BYTES))
    part.write_bytes(BYTES[:3000] + b"not noted")

    get(server.put("a.bin", BYTES), part=part)

    assert part.read_bytes() == BYTES
    assert server.ranges() == ["bytes=3000-"]


@pytest.mark.parametrize("name", ["a.bin.part", "a.bin.part.json"])
def test_a_link_is_not_written_through(server: Server, part: Path, name: str) -> None:
    leave(part, BYTES[:3000], version='"1"', total=len(BYTES))
    mine = part.with_name("mine")
    part.with_name(name).rename(mine)
    part.with_name(name).symlink_to(mine)
    before = mine.read_bytes()

    with pytest.raises(ValueError, match=r"left by an earlier call, .* other than files\. Move"):
        get(server.put("a.bin", BYTES), part=part)

    assert mine.read_bytes() == before
    assert server.asked == []


@pytest.mark.parametrize(
    "note",
    ["", "[1]", "{", "[" * 100_000, '{"version": 3}', '{"version": "", "total": "9"}'],
    ids=range(6),
)
def test_a_damaged_note_is_as_good_as_none(server: Server, part: Path, note: str) -> None:
    part.write_bytes(b"old" * 100)
    part.with_name("a.bin.part.json").write_text(note)

    get(server.put("a.bin", BYTES), part=part)

    assert part.read_bytes() == BYTES


def test_a_part_that_is_complete_needs_no_server_or_one_that_confirms_it(
    server: Server, part: Path
) -> None:
    leave(part, BYTES, version='"1"', total=len(BYTES))
    assert get("http://127.0.0.1:9/nobody", part=part) == SHA256

    leave(part, BYTES, version='"1"')
    get(server.put("a.bin", BYTES), part=part)

    assert server.ranges() == [f"bytes={len(BYTES)}-"]


@pytest.mark.parametrize(("algorithm", "title"), [("sha256", "SHA-256"), ("md5", "MD5")])
def test_a_wrong_digest_is_refused_and_nothing_is_left(
    server: Server, part: Path, algorithm: str, title: str
) -> None:
    url = server.put("a.bin", BYTES[::-1])
    digest, got = (
        hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()
        for data in (BYTES, BYTES[::-1])
    )
    words = (
        f"Expected `a.bin` to be the published file, with the {title} {digest}, but got "
        f"{got}. It was deleted. Call again; if that does not help, the file was replaced on the"
    )

    with pytest.raises(ValueError, match=f"^{re.escape(words)} server"):
        get(url, part=part, digest=f"{algorithm}:{digest.upper()}")

    assert list(part.parent.iterdir()) == []
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("content", "answer", "known", "words"),
    [
        *(
            (
                BYTES,
                Answer(length=length),
                {"size": 10240},
                f"to be the published file, of 10,240 bytes, but got one of {length:,}, as "
                "the server states. The file was replaced on the server, or a proxy answers in its "
                "place.",
            )
            for length in (20_000, 5000)
        ),
        (BYTES, Answer(chunked=True), {"size": 8000}, "a file of 8,000 bytes, but got a longer on"),
        (BYTES, Answer(chunked=True), {}, "a file whose size the server states, but got one witho"),
        (
            BYTES,
            Answer(headers={"Content-Encoding": "gzip"}),
            {},
            "to be the plain file at {url}, but got one packed as gzip.",
        ),
        (
            b"Rar!\x1a\x07" + BYTES,
            Answer(),
            {"name": "a.zip"},
            "to be a zip file at {url}, but got one that begins with b'Rar!",
        ),
        *(
            (b"", answer, {"name": name}, "file at {url}, but got an empty one.")
            for name in ("a.csv", "a.zip")
            for answer in (Answer(), Answer(chunked=True))
        ),
    ],
)
def test_what_cannot_be_the_file_is_refused_and_nothing_is_left(
    server: Server,
    part: Path,
    content: bytes,
    answer: Answer,
    known: dict[str, Any],
    words: str,
) -> None:
    url = server.put("a", content, answer)

    with pytest.raises(ValueError, match=f"^Expected `a.* {re.escape(words.format(url=url))}"):
        get(url, part=part, **known)

    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "body", "kind", "words"),
    [
        ("a.zip", b"<p>", "text/html; charset=utf-8", "an HTML page."),
        ("a.zip", b"  <!DOCTYPE html><title> Sign\n in </title>", "", "an HTML page titled 'Sign "),
        ("a.zip", b"<HTML><body>", "application/zip", "an HTML page."),
        ("a.csv", b' {"error": "no file"}', "", 'JSON that begins with \'{"error": "no file"}\''),
        ("a.csv", b"[1]", "", "JSON that begins with '[1]'"),
        ("a.csv", b"error", "application/json", "JSON that begins with 'error'"),
        ("a.csv", b"\xef\xbb\xbf<?xml version='1.0'?>", "", 'XML that begins with "<?xml'),
        ("a.csv", b"<Error><Code>Denied</Code>", "", "XML that begins with '<Error><Code>Denied"),
        ("a.csv", b"no", "text/xml", "XML that begins with 'no'"),
        ("a.csv", b"no", "application/xml; charset=utf-8", "XML that begins with 'no'"),
    ],
)
def test_a_page_in_place_of_a_file_is_named_and_what_had_come_stays(
    server: Server, part: Path, name: str, body: bytes, kind: str, words: str
) -> None:
    leave(part, b"PK\x03\x04", version='"1"', total=9999)
    headers: dict[str, str | None] = {"Content-Type": kind} if kind else {}
    url = server.put(name, BYTES, Answer(body=body, whole=True, headers=headers))
    login = "A login or error page was sent instead: open the address by hand."

    with pytest.raises(ValueError, match=f" but got {re.escape(words)}.*{re.escape(login)}$"):
        get(url, part=part, name=name)

    assert part.read_bytes() == b"PK\x03\x04"


def test_json_under_another_name_is_a_file_like_any(server: Server, part: Path) -> None:
    url = server.put("a.json", b"[1]", Answer(headers={"Content-Type": "application/json"}))

    get(url, part=part, name="a.json")

    assert part.read_bytes() == b"[1]"


@pytest.mark.parametrize("name", ["a.csv", "a.zip", "a.bin"])
def test_a_connection_that_breaks_before_the_first_bytes_or_is_silent_is_tried_again(
    server: Server, part: Path, name: str
) -> None:
    content = b"PK\x03\x04" + BYTES
    flaws = [Answer(drop=0), Answer(drop=2), Answer(drop=0, stall=True)]
    url = server.put(name, content, *flaws)

    get(url, part=part, name=name, attempts=4, timeout=0.2)

    assert part.read_bytes() == content


def test_an_address_that_refuses_gives_way_to_the_next(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES)

    get(server.address("gone"), url, part=part)

    assert [name for name, _ in server.asked] == ["gone", "a.bin"]


def test_a_server_without_a_valid_certificate_is_not_tried_again(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*given: Any, **_: Any) -> None:
        calls.append(given)
        raise URLError(ssl.SSLCertVerificationError("self-signed"))

    monkeypatch.setattr(_http._OPENER, "open", refuse)  # no server here has a certificate

    with pytest.raises(ConnectionError, match=r"a server with a valid certificate \(https://a/"):
        get("https://a/a.bin", part=part)

    assert len(calls) == 1


def test_a_redirection_is_followed_with_the_range(server: Server, part: Path) -> None:
    leave(part, BYTES[:3000], version='"1"', total=len(BYTES))
    server.put("b.bin", BYTES)
    there: dict[str, str | None] = {"Location": server.address("b.bin"), "Content-Length": "0"}
    url = server.put("a.bin", BYTES, Answer(status=303, headers=there))

    get(url, part=part)

    assert part.read_bytes() == BYTES
    assert server.asked[-1][0] == "b.bin"
    assert server.asked[-1][1]["Range"] == "bytes=3000-"


def test_a_redirection_may_not_leave_https() -> None:
    request = Request("https://a/b")
    words = r"a redirection to http://a/c, which is not followed"

    with pytest.raises(HTTPError, match=words) as raised:  # no server here speaks https
        _http._Redirects().redirect_request(request, None, 302, "", None, "http://a/c")  # type: ignore[arg-type]  # not read

    raised.value.close()


def test_a_caller_can_stop_and_resume_later(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000))

    with pytest.raises(Stopped):
        get(url, part=part, wait=lambda seconds: seconds > 0, pause=1)
    kept = part.read_bytes()
    get(url, part=part)

    assert kept == BYTES[:3000]
    assert server.ranges() == [None, "bytes=3000-"]
