"""One file over HTTP, from a server that drops, lies, changes its mind and stays silent."""

import hashlib
import json
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermolib.datasets.download import fetch as _fetch
from dermolib.datasets.download import web as _web
from dermolib.datasets.download.fetch import (
    Fetched,
    Patience,
    Remote,
    Stopped,
    digest_of,
    fetch,
    forget,
)
from fetch_server import Answer, Server, serving

BYTES = bytes(range(256)) * 40  # 10,240 bytes without any HTML in them
SHA256 = hashlib.sha256(BYTES).hexdigest()
_QUICK = Patience(attempts=3, pause=0, timeout=5)
_CHILD = """
import sys
from pathlib import Path
from dermolib.datasets.download.fetch import Patience, Remote, fetch
fetch(Remote("a.bin", (sys.argv[1],)), Path(sys.argv[2]), patience=Patience(timeout=60))
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.places.clear()
    shared.asked.clear()
    return shared


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "a.bin.part"


def get(url: str, part: Path, *, name: str = "a.bin", **known: Any) -> Fetched:
    return fetch(Remote(name, (url,), **known), part, patience=_QUICK)


def leave(part: Path, content: bytes, **note: Any) -> None:
    """Leave what an earlier call would have left."""
    part.write_bytes(content)
    part.with_name(f"{part.name}.json").write_text(json.dumps(note))


def test_a_file_comes_whole(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES)

    fetched = get(url, part, size=len(BYTES), digest=f"sha256:{SHA256}")

    assert fetched == Fetched(len(BYTES), SHA256)
    assert part.read_bytes() == BYTES


def test_an_empty_file_comes_too(server: Server, part: Path) -> None:
    url = server.put("a.bin", b"")

    assert get(url, part).size == 0
    assert part.read_bytes() == b""


def test_a_dropped_connection_is_taken_up_where_it_broke_off(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000), Answer(drop=100))

    get(url, part)

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
def test_whatever_is_dropped_the_file_is_the_same_and_each_byte_is_counted_once(
    shared: Server,
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    drops: list[int],
    kinds: list[str],
    there: int,
) -> None:
    part = tmp_path_factory.mktemp("law") / "a.bin.part"
    leave(part, content[:there], etag='"1"', total=len(content))
    answers = [
        Answer(drop=drop, whole=kind == "whole", chunked=kind == "chunked")
        for drop, kind in zip(drops, kinds, strict=False)
    ]
    url = shared.put("law", content, *answers)
    counts: list[int] = []

    remote = Remote("a.bin", (url,), len(content))
    fetched = fetch(remote, part, patience=Patience(attempts=9, pause=0), advance=counts.append)

    assert part.read_bytes() == content
    assert fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert sum(counts) == len(content)


def test_what_is_thrown_away_is_taken_off_the_count(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000), Answer(whole=True))
    counts: list[int] = []

    fetch(Remote("a.bin", (url,)), part, patience=_QUICK, advance=counts.append)

    assert -3000 in counts
    assert sum(counts) == len(BYTES)


def test_pauses_double_and_a_server_may_ask_for_longer_ones(server: Server, part: Path) -> None:
    busy = [Answer(status=code) for code in (503, 500, 429)]
    asked = Answer(status=503, headers={"Retry-After": "9"})
    url = server.put("a.bin", BYTES, *busy, asked, Answer(drop=50))
    waits: list[float] = []

    fetch(
        Remote("a.bin", (url,)),
        part,
        patience=Patience(attempts=6, pause=1),
        wait=lambda seconds: waits.append(seconds) if seconds else None,
    )

    assert waits == [1, 2, 4, 9, 1]
    assert part.read_bytes() == BYTES


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"attempts": 0}, "`attempts` to be an integer of 1 or more, but got 0."),
        ({"pause": -1}, "`pause` to be a number of 0 or more, but got -1."),
        ({"timeout": 0}, "`timeout` to be a number above 0, but got 0."),
    ],
)
def test_patience_without_sense_is_refused(option: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=f"^Expected {re.escape(words)}$"):
        Patience(**option)


def test_no_pause_is_longer_than_a_minute(server: Server, part: Path) -> None:
    answers = [Answer(status=503, headers={"Retry-After": "86400"})]
    url = server.put("a.bin", BYTES, *answers)
    waits: list[float] = []

    fetch(Remote("a.bin", (url,)), part, wait=lambda seconds: waits.append(seconds))

    assert max(waits) == 60


def test_a_server_that_gives_no_more_is_given_up_and_what_came_is_kept(
    server: Server, part: Path
) -> None:
    answers = [Answer(drop=4000), *[Answer(drop=0)] * 3]
    url = server.put("a.bin", BYTES, *answers)
    sentence = (
        f"Expected `a.bin` to be a file that {url} gives whole, but got 4,000 of 10,240 bytes. "
        "Call again later: the 4,000 bytes that have come are kept in a.bin.part, and it goes on "
        "from there."
    )

    with pytest.raises(ConnectionError, match=f"^{re.escape(sentence)}$"):
        get(url, part)

    assert part.read_bytes() == BYTES[:4000]
    assert get(url, part).sha256 == SHA256
    assert server.ranges()[-1] == "bytes=4000-"


def test_a_server_that_always_begins_anew_and_breaks_off_is_given_up(
    server: Server, part: Path
) -> None:
    url = server.put("a.bin", BYTES, *[Answer(drop=4000, whole=True)] * 20)

    with pytest.raises(ConnectionError, match=r"got 4,000 of 10,240 bytes"):
        get(url, part)

    assert len(server.asked) == 4


def test_a_server_that_sends_the_whole_file_again_is_understood(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000), Answer(whole=True))

    get(url, part)

    assert part.read_bytes() == BYTES


@pytest.mark.parametrize("unconditional", [False, True])
def test_a_file_that_changed_is_fetched_anew(
    server: Server, part: Path, unconditional: bool
) -> None:
    leave(part, b"old" * 1000, etag='"0"', total=len(BYTES))
    url = server.put("a.bin", BYTES, Answer(unconditional=unconditional))

    get(url, part)

    assert part.read_bytes() == BYTES


def test_a_file_that_grew_is_fetched_anew(server: Server, part: Path) -> None:
    leave(part, BYTES[:3000], etag='"1"', total=5000)
    url = server.put("a.bin", BYTES)

    get(url, part)

    assert part.read_bytes() == BYTES
    assert server.ranges() == ["bytes=3000-", None]


@pytest.mark.parametrize(
    ("headers", "digest", "second"),
    [
        ({"ETag": 'W/"1"'}, None, None),
        ({"ETag": None}, None, None),
        ({"ETag": None}, f"sha256:{SHA256}", "bytes=3000-"),
        ({"ETag": None, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, None, "bytes=3000-"),
    ],
    ids=["weak", "none", "digest", "date"],
)
def test_a_part_is_taken_up_where_something_tells_its_version_or_the_digest_decides(
    server: Server,
    part: Path,
    headers: dict[str, str | None],
    digest: str | None,
    second: str | None,
) -> None:
    answers = [Answer(drop=3000, headers=headers), Answer(headers=headers, unconditional=True)]
    url = server.put("a.bin", BYTES, *answers)

    get(url, part, digest=digest)

    assert part.read_bytes() == BYTES
    assert server.ranges() == [None, second]


@pytest.mark.parametrize("digest", [None, f"sha256:{SHA256}"])
def test_a_part_without_its_note_is_someone_elses_and_left_alone(
    server: Server, part: Path, digest: str | None
) -> None:
    part.write_bytes(b"mine")
    url = server.put("a.bin", BYTES)

    with pytest.raises(ValueError, match=r"to be what an earlier call has left, .* without one\."):
        get(url, part, digest=digest)
    forget(part)

    assert part.read_bytes() == b"mine"
    assert server.asked == []


def test_a_part_with_an_empty_note_is_taken_up_where_a_digest_decides(
    server: Server, part: Path
) -> None:
    leave(part, BYTES[:3000])
    url = server.put("a.bin", BYTES)

    get(url, part, digest=f"sha256:{SHA256}")

    assert server.ranges() == ["bytes=3000-"]
    assert json.loads(part.with_name("a.bin.part.json").read_text()) == {
        "total": len(BYTES),
        "etag": '"1"',
    }


@pytest.mark.parametrize("note", ["", "[1]", "{", '{"etag": 3, "total": "9"}'])
def test_a_damaged_note_is_as_good_as_none(server: Server, part: Path, note: str) -> None:
    part.write_bytes(b"old" * 100)
    part.with_name("a.bin.part.json").write_text(note)
    url = server.put("a.bin", BYTES)

    get(url, part)

    assert part.read_bytes() == BYTES


def test_a_part_that_is_whole_already_needs_no_server(part: Path) -> None:
    leave(part, BYTES, etag='"1"', total=len(BYTES))

    fetched = get("http://127.0.0.1:9/nobody", part)

    assert fetched.sha256 == SHA256


def test_a_server_that_has_no_more_confirms_that_all_is_there(server: Server, part: Path) -> None:
    leave(part, BYTES, etag='"1"')
    url = server.put("a.bin", BYTES)

    get(url, part)

    assert server.ranges() == [f"bytes={len(BYTES)}-"]


@pytest.mark.parametrize("headers", [{}, {"Content-Range": "nonsense"}, {"Content-Range": None}])
def test_a_part_beyond_the_end_is_fetched_anew(
    server: Server, part: Path, headers: dict[str, str | None]
) -> None:
    leave(part, BYTES + b"more", etag='"1"')
    url = server.put("a.bin", BYTES, Answer(headers=headers))

    get(url, part)

    assert part.read_bytes() == BYTES
    assert len(server.asked) == 2


def test_a_part_longer_than_the_published_file_is_fetched_anew(server: Server, part: Path) -> None:
    leave(part, BYTES + b"more", etag='"1"')
    url = server.put("a.bin", BYTES)

    get(url, part, size=len(BYTES))

    assert part.read_bytes() == BYTES
    assert server.ranges() == [None]


@pytest.mark.parametrize("stated", ["bytes 2000-10239/10240", "nonsense", None])
def test_an_answer_from_another_place_of_the_file_is_not_appended(
    server: Server, part: Path, stated: str | None
) -> None:
    leave(part, BYTES[:3000], etag='"1"', total=len(BYTES))
    other = Answer(206, whole=True, body=BYTES[2000:9240], headers={"Content-Range": stated})
    url = server.put("a.bin", BYTES, other)

    get(url, part)

    assert part.read_bytes() == BYTES


def test_a_part_of_another_file_is_found_by_the_digest_and_replaced(
    server: Server, part: Path
) -> None:
    leave(part, b"old" * 1000, etag='"1"', total=len(BYTES))
    url = server.put("a.bin", BYTES)

    get(url, part, digest=f"sha256:{SHA256}")

    assert part.read_bytes() == BYTES
    assert server.ranges() == ["bytes=3000-", None]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_wrong_digest_is_refused_and_nothing_is_left(
    server: Server, part: Path, algorithm: str
) -> None:
    url = server.put("a.bin", BYTES[::-1])
    digest = hashlib.new(algorithm, BYTES).hexdigest()
    got = hashlib.new(algorithm, BYTES[::-1]).hexdigest()
    title = {"sha256": "SHA-256", "md5": "MD5"}[algorithm]
    sentence = (
        f"Expected `a.bin` to be the file of its publisher, with the {title} {digest}, but got "
        f"{got}. It was thrown away. Call again; if this lasts, the file was replaced there."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(url, part, digest=f"{algorithm}:{digest.upper()}")

    assert list(part.parent.iterdir()) == []
    assert len(server.asked) == 1


def test_a_length_that_is_a_lie_upwards_is_told(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, *[Answer(length=20_000, whole=True)] * 9)

    with pytest.raises(ConnectionError, match=r"got 10,240 of 20,000 bytes"):
        get(url, part)


@pytest.mark.parametrize("length", [20_000, 5000])
def test_a_length_other_than_the_published_one_is_refused_before_the_rest_comes(
    server: Server, part: Path, length: int
) -> None:
    url = server.put("a.bin", BYTES, Answer(length=length))
    sentence = (
        "Expected `a.bin` to be the file of its publisher, of 10,240 bytes, but got one of "
        f"{length:,}, as the server states. The file was replaced there, or something in between "
        "answers in its place."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(url, part, size=len(BYTES))

    assert list(part.parent.iterdir()) == []


def test_more_than_the_published_size_is_refused_while_it_comes(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(chunked=True))

    with pytest.raises(ValueError, match=r"a file of 8,000 bytes, but got a longer one"):
        get(url, part, size=8000)

    assert list(part.parent.iterdir()) == []


def test_a_server_that_states_no_size_of_an_unknown_file_is_refused(
    server: Server, part: Path
) -> None:
    url = server.put("a.bin", BYTES, Answer(chunked=True))

    with pytest.raises(ValueError, match=r"a file whose size the server states, but got one witho"):
        get(url, part)


@pytest.mark.parametrize(
    ("page", "headers", "words"),
    [
        (b"<p>", {"Content-Type": "text/html; charset=utf-8"}, "an HTML page."),
        (b"  <!DOCTYPE html><title> Sign\n in </title>", {}, "an HTML page titled 'Sign in'."),
        (b"<HTML><body>", {"Content-Type": "application/zip"}, "an HTML page."),
    ],
)
def test_a_page_in_place_of_a_zip_is_named_as_such_and_what_had_come_stays(
    server: Server, part: Path, page: bytes, headers: dict[str, str | None], words: str
) -> None:
    leave(part, b"PK\x03\x04", etag='"1"', total=9999)
    url = server.put("a.zip", BYTES, Answer(body=page, whole=True, headers=headers))
    sentence = (
        f"Expected `a.zip` to be a zip file at {url}, but got {words} A login or an error page "
        "stands in between: open the address by hand."
    )

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(url, part, name="a.zip")

    assert part.read_bytes() == b"PK\x03\x04"


def test_what_is_no_zip_is_refused_by_its_first_bytes(server: Server, part: Path) -> None:
    url = server.put("a.zip", b"Rar!\x1a\x07" + BYTES)

    with pytest.raises(ValueError, match=r"a zip file at .*, but got one that begins with b'Rar!"):
        get(url, part, name="a.zip")


def test_a_file_that_was_packed_on_the_way_is_refused(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(headers={"Content-Encoding": "gzip"}))

    with pytest.raises(ValueError, match=r"the plain file at .*, but got one packed as gzip\."):
        get(url, part)


def test_an_address_that_refuses_gives_way_to_the_next(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES)
    remote = Remote("a.bin", (server.address("gone"), url))

    fetch(remote, part, patience=_QUICK)

    assert [name for name, _ in server.asked] == ["gone", "a.bin"]


@pytest.mark.parametrize(("status", "words"), [(403, "403 Forbidden"), (404, "404 Not Found")])
def test_a_refusal_is_told_at_once(server: Server, part: Path, status: int, words: str) -> None:
    url = server.put("a.bin", BYTES, Answer(status=status))
    sentence = (
        f"Expected `a.bin` to be a file at {url}, but got the answer {words}. Call again later, or "
        "fetch it by other means and put it there."
    )

    with pytest.raises(ConnectionError, match=f"^{re.escape(sentence)}$"):
        get(url, part)

    assert len(server.asked) == 1


def test_a_server_that_stays_at_fault_is_given_up(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, *[Answer(status=500)] * 9)

    with pytest.raises(ConnectionError, match=r"got the answer 500 Internal Server Error\."):
        get(url, part)

    assert len(server.asked) == 3


def test_an_answer_that_is_neither_whole_nor_a_part_is_not_taken(
    server: Server, part: Path
) -> None:
    url = server.put("a.bin", BYTES, *[Answer(status=204)] * 9)

    with pytest.raises(ConnectionError, match=r"got the answer 204 No Content\."):
        get(url, part)


def test_a_silent_server_is_tried_again(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=0, stall=True))

    fetch(Remote("a.bin", (url,)), part, patience=Patience(pause=0, timeout=0.2))

    assert part.read_bytes() == BYTES


def test_a_server_that_is_not_there_is_told(part: Path) -> None:
    with pytest.raises(ConnectionError, match=r"gives whole, but got \[Errno \d+\] .*refused"):
        get("http://127.0.0.1:9/a.bin", part)


def test_a_server_without_a_valid_certificate_is_not_tried_again(
    part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def refuse(*given: Any, **_: Any) -> None:
        calls.append(given)
        raise URLError(ssl.SSLCertVerificationError("self-signed"))

    monkeypatch.setattr(_fetch, "open_url", refuse)

    with pytest.raises(ConnectionError, match=r"a server that proves to be the one of https://a/"):
        get("https://a/a.bin", part)

    assert len(calls) == 1


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a"])
def test_a_redirection_off_the_web_is_not_followed(server: Server, part: Path, target: str) -> None:
    url = server.put("a.bin", BYTES, Answer(status=302, headers={"Location": target}))

    with pytest.raises(ConnectionError, match=r"the answer 302 "):
        get(url, part)

    assert list(part.parent.iterdir()) == []


def test_a_redirection_on_the_web_is_followed_with_the_range(server: Server, part: Path) -> None:
    leave(part, BYTES[:3000], etag='"1"', total=len(BYTES))
    server.put("b.bin", BYTES)
    there = {"Location": server.address("b.bin"), "Content-Length": "0"}
    url = server.put("a.bin", BYTES, Answer(status=303, headers=dict(there)))

    get(url, part)

    assert part.read_bytes() == BYTES
    assert server.asked[-1][0] == "b.bin"
    assert server.asked[-1][1]["Range"] == "bytes=3000-"


def test_a_redirection_may_not_leave_the_encrypted_way() -> None:
    request = Request("https://a/b")
    words = r"a redirection to http://a/c, which is not followed"

    with pytest.raises(HTTPError, match=words) as raised:
        _web._Redirects().redirect_request(request, None, 302, "", None, "http://a/c")  # type: ignore[arg-type]  # not read

    raised.value.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd", "ftp://a/b", "HTTPX://a"])
def test_an_address_off_the_web_is_refused(part: Path, url: str) -> None:
    sentence = f"Expected `url` to be an address of https:// or http://, but got {url!r}."

    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        get(url, part)


def test_a_caller_can_stop_and_go_on_later(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=3000), Answer())
    remote = Remote("a.bin", (url,))

    with pytest.raises(Stopped):
        fetch(remote, part, wait=lambda seconds: seconds > 0)
    kept = part.read_bytes()
    fetch(remote, part)

    assert kept == BYTES[:3000]
    assert server.ranges() == [None, "bytes=3000-"]


def test_the_size_is_told_once(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=5000))
    sizes: list[int] = []

    fetch(Remote("a.bin", (url,)), part, patience=_QUICK, state=sizes.append)

    assert sizes == [len(BYTES)]


def test_a_killed_process_leaves_what_the_next_one_takes_up(server: Server, part: Path) -> None:
    url = server.put("a.bin", BYTES, Answer(drop=6000, stall=True))
    command = [sys.executable, "-c", _CHILD, url, str(part)]
    with subprocess.Popen(command) as child:  # noqa: S603 - this interpreter, our code
        while not part.exists() or part.stat().st_size < 6000:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)

    get(url, part)

    assert child.returncode == -signal.SIGKILL
    assert part.read_bytes() == BYTES
    assert server.ranges() == [None, "bytes=6000-"]


def test_what_is_fetched_can_be_forgotten(server: Server, part: Path) -> None:
    get(server.put("a.bin", BYTES), part)

    forget(part)

    assert list(part.parent.iterdir()) == []


def test_a_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(BYTES)

    assert digest_of(path, "md5") == hashlib.md5(BYTES, usedforsecurity=False).hexdigest()
    assert digest_of(path, "sha256") == SHA256


@pytest.mark.parametrize("name", ["a.csv", "a.zip"])
@pytest.mark.parametrize("answer", [Answer(), Answer(chunked=True)])
def test_an_empty_file_in_place_of_one_with_content_is_refused(
    server: Server, part: Path, name: str, answer: Answer
) -> None:
    url = server.put(name, b"", answer)

    with pytest.raises(ValueError, match=rf"file at {url}, but got an empty one\.$"):
        get(url, part, name=name)

    assert list(part.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["a.csv", "a.zip", "a.bin"])
def test_a_line_that_breaks_before_the_first_bytes_is_tried_again(
    server: Server, part: Path, name: str
) -> None:
    content = b"PK\x03\x04" + BYTES
    url = server.put(name, content, Answer(drop=0), Answer(drop=2))

    get(url, part, name=name)

    assert part.read_bytes() == content


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (b' {"error": "no such file"}', {}, 'JSON that begins with \'{"error": "no such file"}\''),
        (b"[1]", {}, "JSON that begins with '[1]'"),
        (b"error", {"Content-Type": "application/json"}, "JSON that begins with 'error'"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", {}, 'XML that begins with "<?xml'),
        (
            b"<Error><Code>AccessDenied</Code>",
            {},
            "XML that begins with '<Error><Code>AccessDenied",
        ),
        (b"no", {"Content-Type": "text/xml"}, "XML that begins with 'no'"),
        (b"no", {"Content-Type": "application/xml; charset=utf-8"}, "XML that begins with 'no'"),
    ],
)
def test_an_error_in_words_in_place_of_a_table_is_refused(
    server: Server, part: Path, body: bytes, headers: dict[str, str | None], words: str
) -> None:
    url = server.put("a.csv", body, Answer(headers=headers))

    with pytest.raises(ValueError, match=f"but got {re.escape(words)}.*stands in between"):
        get(url, part, name="a.csv")

    assert list(part.parent.iterdir()) == []


def test_json_under_another_name_is_a_file_like_any(server: Server, part: Path) -> None:
    url = server.put("a.json", b"[1]", Answer(headers={"Content-Type": "application/json"}))

    assert get(url, part, name="a.json").size == 3


def test_a_file_published_as_empty_is_empty(server: Server, part: Path) -> None:
    get(server.put("a.bin", b""), part, size=0)

    assert part.read_bytes() == b""
