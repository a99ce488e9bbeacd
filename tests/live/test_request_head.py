"""The one reading of a request's head: what is read from a good one, and what makes a bad one."""

import pytest

from swayam_proxy.live.field_lines import FieldLines
from swayam_proxy.live.problem import Refused
from swayam_proxy.live.request_head import (
    SPECIAL_FIELDS,
    RequestHead,
    RequestHeadReader,
    check_partial_head,
)
from swayam_proxy.live.settings import Limits

LIMITS = Limits()


def read(raw: bytes, limits: Limits = LIMITS) -> RequestHead:
    """Read a head with a reader that has seen nothing yet."""
    return RequestHeadReader(limits).read(raw)


def head_of(
    *lines: bytes, start: bytes = b"POST /m/predict?a=1 HTTP/1.1", host: bytes = b"Host: a.test"
) -> bytes:
    """Write a head of these lines, a good start line and a good Host before them."""
    return b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])


def refusal(raw: bytes, limits: Limits = LIMITS) -> tuple[int, str]:
    """Return status and reason of the refusal of a head."""
    with pytest.raises(Refused) as caught:
        read(raw, limits)
    return caught.value.status, caught.value.reason


def test_a_plain_head_is_read() -> None:
    """Method, path, query, host, length and lines come out as they were written."""
    head = read(head_of(b"Content-Length: 12", b"X-A: 1", b"x-a:  2 "))
    line = head.line
    assert (line.method, line.path, line.query, head.host) == ("POST", "/m/predict", "?a=1", b"a.test")
    assert (head.content_length, head.chunked, head.keep_alive, line.minor) == (12, False, True, 1)
    assert [line.written for line in head.lines][1:] == [
        b"Content-Length: 12\r\n",
        b"X-A: 1\r\n",
        b"x-a: 2\r\n",
    ]


def test_an_empty_field_does_not_swallow_the_next() -> None:
    """A field without a value stays a field of its own."""
    head = read(head_of(b"X-Empty:", b"X-Next: 1"))
    assert [(line.lower, line.value) for line in head.lines][1:] == [(b"x-empty", b""), (b"x-next", b"1")]


def test_the_same_head_reads_the_same_twice() -> None:
    """What a reader remembers of lines changes nothing in what it reads."""
    reader = RequestHeadReader(LIMITS)
    raw = head_of(b"Content-Length: 3", b"Connection: close, X-Hop", b"X-Hop: 1")
    first, second = reader.read(raw), reader.read(raw)
    assert first.line.path == second.line.path
    for name in ("content_length", "keep_alive", "named", "said"):
        assert getattr(first, name) == getattr(second, name)
    assert [line.written for line in first.lines] == [line.written for line in second.lines]


@pytest.mark.parametrize(
    ("start", "connection", "keeps"),
    [
        (b"GET / HTTP/1.1", None, True),
        (b"GET / HTTP/1.1", b"Connection: Close", False),
        (b"GET / HTTP/1.1", b"Connection: x, close", False),
        (b"GET / HTTP/1.0", None, False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, close", False),
    ],
)
def test_connection_and_version_tell_whether_it_is_kept(
    start: bytes, connection: bytes | None, keeps: bool
) -> None:
    """1.1 keeps unless told to close; 1.0 closes unless told to keep."""
    assert read(head_of(*([connection] if connection else []), start=start)).keep_alive is keeps


def test_an_absolute_target_brings_its_own_host() -> None:
    """The authority of the target beats the Host field; without a path it is the root."""
    head = read(head_of(start=b"GET http://b.test:81?x=1 HTTP/1.1"))
    assert (head.host, head.line.path, head.line.query) == (b"b.test:81", "/", "?x=1")


def test_options_of_everything_is_read() -> None:
    """The target * goes with OPTIONS only."""
    assert read(head_of(start=b"OPTIONS * HTTP/1.1")).line.path == "*"
    assert refusal(head_of(start=b"GET * HTTP/1.1"))[0] == 400


@pytest.mark.parametrize("value", [b"h2c", b"websocket, h2c"])
def test_an_upgrade_that_would_hide_requests_is_not_offered(value: bytes) -> None:
    """HTTP/2 over an upgraded connection would pass requests by the proxy."""
    raw = head_of(b"Connection: upgrade", b"Upgrade: " + value, start=b"GET / HTTP/1.1")
    assert read(raw).upgrade == b""


def test_an_upgrade_needs_connection_and_no_body() -> None:
    """Upgrade counts only when Connection names it, with HTTP/1.1 and without a body."""
    lines = (b"Connection: Upgrade", b"Upgrade: WebSocket")
    assert read(head_of(*lines, start=b"GET / HTTP/1.1")).upgrade == b"websocket"
    assert read(head_of(lines[1], start=b"GET / HTTP/1.1")).upgrade == b""
    assert read(head_of(*lines, start=b"GET / HTTP/1.0")).upgrade == b""
    assert read(head_of(*lines, b"Content-Length: 1")).upgrade == b""


def test_expect_is_for_bodies_of_http_1_1() -> None:
    """100-continue without a body, or from HTTP/1.0, asks for nothing; other expectations are refused."""
    assert read(head_of(b"Expect: 100-Continue", b"Content-Length: 1")).expects_continue
    assert not read(head_of(b"Expect: 100-continue")).expects_continue
    old = head_of(b"Expect: 100-continue", b"Content-Length: 1", start=b"POST / HTTP/1.0")
    assert not read(old).expects_continue
    assert refusal(head_of(b"Expect: more", b"Content-Length: 1")) == (417, "expectation_failed")


def test_a_request_id_is_taken_over_only_if_it_is_harmless() -> None:
    """One short id of plain characters is kept; two, a long or a strange one are not."""
    assert read(head_of(b"X-Request-Id: abc-1")).request_id == b"abc-1"
    assert read(head_of(b"X-Request-Id: a", b"X-Request-Id: b")).request_id == b""
    assert read(head_of(b"X-Request-Id: " + b"a" * 129)).request_id == b""
    assert read(head_of(b'X-Request-Id: "}{')).request_id == b""


def test_the_trace_id_is_read() -> None:
    """The second part of a well-formed traceparent is the trace's id."""
    good = b"traceparent: 00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
    assert read(head_of(good)).trace_id == "ab" * 16
    assert read(head_of(b"traceparent: 00-zz-1-01")).trace_id == ""


BAD_HEADS = {
    "two lengths": head_of(b"Content-Length: 1", b"Content-Length: 1"),
    "a list of lengths": head_of(b"Content-Length: 1, 1"),
    "a signed length": head_of(b"Content-Length: +5"),
    "a negative length": head_of(b"Content-Length: -1"),
    "a length in hex": head_of(b"Content-Length: 0x5"),
    "an empty length": head_of(b"Content-Length:"),
    "an endless length": head_of(b"Content-Length: " + b"9" * 19),
    "length and chunked": head_of(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "chunked and length": head_of(b"Transfer-Encoding: chunked", b"Content-Length: 1"),
    "chunked twice": head_of(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked, chunked": head_of(b"Transfer-Encoding: chunked, chunked"),
    "chunked not last": head_of(b"Transfer-Encoding: chunked, gzip"),
    "nearly chunked": head_of(b"Transfer-Encoding: xchunked"),
    "chunked with a control character": head_of(b"Transfer-Encoding: \x0bchunked"),
    "chunked from HTTP/1.0": head_of(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
    "obs-fold": head_of(b"X-A: 1", b" 2"),
    "space before the colon": head_of(b"X-A : 1"),
    "no name": head_of(b": 1"),
    "no colon": head_of(b"X-A"),
    "NUL": head_of(b"X-A: 1\x002"),
    "bare CR": head_of(b"X-A: 1\r2"),
    "bare LF": head_of(b"X-A: 1\nX-B: 2"),
    "control character": head_of(b"X-A: \x01"),
    "DEL": head_of(b"X-A: \x7f"),
    "strange name": head_of(b"X(A): 1"),
    "lower-case method": head_of(start=b"get / HTTP/1.1"),
    "tab in the request line": head_of(start=b"GET\t/ HTTP/1.1"),
    "two spaces": head_of(start=b"GET  / HTTP/1.1"),
    "space in the target": head_of(start=b"GET /a b HTTP/1.1"),
    "raw bytes in the target": head_of(start=b"GET /\xc3\xa4 HTTP/1.1"),
    "fragment": head_of(start=b"GET /a#b HTTP/1.1"),
    "no path": head_of(start=b"GET a HTTP/1.1"),
    "user in the target": head_of(start=b"GET http://u@b.test/ HTTP/1.1"),
    "other scheme": head_of(start=b"GET ftp://b.test/ HTTP/1.1"),
    "no version": head_of(start=b"GET /"),
    "no host": head_of(host=b""),
    "two hosts": head_of(b"Host: b.test"),
    "two hosts for an absolute target": head_of(b"Host: b", start=b"GET http://c.test/ HTTP/1.1"),
    "empty host": head_of(host=b"Host:"),
    "no host at all": head_of(host=b"Host: a b"),
    "host with a path": head_of(host=b"Host: a/b"),
    "host with a user": head_of(host=b"Host: u@b"),
    "list of hosts": head_of(host=b"Host: a,b"),
}


@pytest.mark.parametrize("kind", BAD_HEADS)
def test_what_has_two_readings_is_400(kind: str) -> None:
    """Every head that two servers might read in two ways is refused."""
    assert refusal(BAD_HEADS[kind]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"GET / HTTP/2.0", (505, "version_not_supported")),
        (b"GET / HTTP/1.2", (505, "version_not_supported")),
        (b"CONNECT a.test:443 HTTP/1.1", (501, "method_not_supported")),
        (b"PRI * HTTP/1.1", (501, "method_not_supported")),
        (b"FETCH / HTTP/1.1", (501, "method_not_supported")),
    ],
)
def test_what_is_not_spoken_is_told(start: bytes, expected: tuple[int, str]) -> None:
    """Other versions and methods have status codes of their own."""
    assert refusal(head_of(start=start)) == expected


def test_another_coding_is_501() -> None:
    """A body that is compressed on the wire cannot be framed anew."""
    assert refusal(head_of(b"Transfer-Encoding: gzip, chunked")) == (501, "coding_not_supported")


def test_limits_are_kept() -> None:
    """Size, number of fields and target have limits, and each its own status."""
    limits = Limits(request_head_bytes_max=1000, request_fields_max=5, request_target_bytes_max=100)
    assert refusal(head_of(b"X: " + b"a" * 1000), limits) == (431, "head_too_large")
    assert refusal(head_of(*[b"X: 1"] * 6), limits) == (431, "too_many_fields")
    assert refusal(head_of(start=b"GET /" + b"a" * 100 + b" HTTP/1.1"), limits) == (414, "target_too_long")
    assert refusal(head_of(start=b"GET /" + b"a" * 1000 + b" HTTP/1.1"), limits) == (414, "target_too_long")
    read(head_of(*[b"X: 1"] * 4), limits)


@pytest.mark.parametrize(
    "beginning",
    [
        b"\x16\x03\x01\x02\x00",
        b" GET",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nX: a\rb",
        b"GET / HTTP/1.1\r\nX: a\x00b",
    ],
)
def test_a_hopeless_beginning_is_refused_at_once(beginning: bytes) -> None:
    """What can never become a good head is not waited for."""
    with pytest.raises(Refused) as caught:
        check_partial_head(beginning, LIMITS)
    assert caught.value.status == 400


def test_a_good_beginning_is_waited_for() -> None:
    """Every beginning of a good head passes, also between CR and LF."""
    raw = head_of(b"X-A: 1", b"Content-Length: 3")
    for length in range(1, len(raw)):
        check_partial_head(raw[:length], LIMITS)
        check_partial_head(raw[:length], LIMITS, length - 1)


@pytest.mark.parametrize("bad", [b"\r1", b"1\n", b"\r\r\n", b"\x00"])
def test_what_comes_bit_by_bit_is_checked_as_a_whole(bad: bytes) -> None:
    """A bad pair of bytes is found wherever the boundary of what was checked before lies."""
    raw = head_of(b"X-A: " + bad + b"2", b"X-B: 3")[:-4]
    at = raw.index(bad)
    for checked in range(at + 1):
        with pytest.raises(Refused):
            check_partial_head(raw, LIMITS, checked)
    found_at = next(length for length in range(1, len(raw)) if is_refused(raw[:length], length - 1))
    assert found_at <= at + len(bad) + 1, "found as soon as it came"


def is_refused(beginning: bytes, checked_bytes: int) -> bool:
    """Say whether a beginning is refused when all but its last bytes were checked before."""
    try:
        check_partial_head(beginning, LIMITS, checked_bytes)
    except Refused:
        return True
    return False


def test_a_beginning_has_limits() -> None:
    """A head is refused as soon as it is too large, not when it ends."""
    limits = Limits(request_head_bytes_max=1000, request_fields_max=5, request_target_bytes_max=100)
    for beginning, status in [
        (head_of(b"X: " + b"a" * 2000)[:1500], 431),
        (head_of(*[b"X: 1"] * 7)[:-4], 431),
        (b"GET /" + b"a" * 300, 414),
        (b"GET /" + b"a" * 3000, 414),
    ]:
        with pytest.raises(Refused) as caught:
            check_partial_head(beginning, limits)
        assert caught.value.status == status


def test_what_is_remembered_is_bounded() -> None:
    """A flood of lines that never come again does not grow the table beyond its bound."""
    lines = FieldLines(SPECIAL_FIELDS)
    for number in range(10_000):
        lines.read(b"X-N: %d" % number)
    assert len(lines.known) <= 2048
    lines.read(b"X-Long: " + b"a" * 1000)
    lines.read(b"X-Request-Id: 1")
    assert not any(raw.startswith((b"X-Long", b"X-Request-Id")) for raw in lines.known)
