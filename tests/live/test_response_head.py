"""The one reading of a response's head."""

import pytest

from swayam_proxy.live.field_lines import FieldLines
from swayam_proxy.live.response_head import (
    SPECIAL_FIELDS,
    UNKNOWN,
    MalformedResponseError,
    ResponseHead,
    check_partial_response,
    read_response_head,
)
from swayam_proxy.live.settings import Limits

LIMITS = Limits()


def read(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", limits: Limits = LIMITS) -> ResponseHead:
    """Read the head of these lines."""
    return read_response_head(b"\r\n".join([start, *lines, b"", b""]), limits, FieldLines(SPECIAL_FIELDS))


def test_framings_are_told_apart() -> None:
    """A length, chunks, or the end of the connection: exactly one of them."""
    assert read(b"Content-Length: 007").content_length == 7
    assert read(b"Transfer-Encoding: Chunked").chunked
    neither = read()
    assert (neither.content_length, neither.chunked) == (UNKNOWN, False)


@pytest.mark.parametrize(
    ("start", "connection", "keeps"),
    [
        (b"HTTP/1.1 200 OK", None, True),
        (b"HTTP/1.1 200 OK", b"Connection: close", False),
        (b"HTTP/1.0 200 OK", None, False),
        (b"HTTP/1.0 200 OK", b"Connection: Keep-Alive", True),
        (b"HTTP/1.1 200 OK", b"Connection: keep-alive, close", False),
    ],
)
def test_whether_the_connection_is_kept(start: bytes, connection: bytes | None, keeps: bool) -> None:
    """As for requests: 1.1 keeps, 1.0 closes, unless Connection says otherwise."""
    assert read(*([connection] if connection else []), start=start).keep_alive is keeps


def test_what_sidecars_and_servers_say_beside_the_answer_is_read() -> None:
    """Execution time in seconds, busy, idle, and how long the connection is kept."""
    head = read(b"Server-Timing: queue;dur=3, exec;desc=x;dur=12.5", b"Keep-Alive: timeout=5, max=100")
    assert (head.execution_s, head.keep_alive_s) == (0.0125, 5.0)
    assert read(b"Server-Timing: total;dur=3").execution_s is None
    assert read(b"Swayam-Busy: 1", start=b"HTTP/1.1 503 Busy").busy
    assert not read(b"Swayam-Busy: 1").busy
    assert read(b"Swayam-Idle: 1").idle


def test_a_status_without_a_phrase_passes() -> None:
    """The phrase may be empty or missing; codes that nobody knows are still codes."""
    assert read(start=b"HTTP/1.1 299 ").status == 299
    assert read(start=b"HTTP/1.1 299").phrase == b""


BAD = {
    "two lengths": [b"Content-Length: 1", b"Content-Length: 2"],
    "the same length twice": [b"Content-Length: 1", b"Content-Length: 1"],
    "signed": [b"Content-Length: +5"],
    "list": [b"Content-Length: 5, 6"],
    "negative": [b"Content-Length: -1"],
    "length and chunked": [b"Content-Length: 1", b"Transfer-Encoding: chunked"],
    "another coding": [b"Transfer-Encoding: gzip, chunked"],
    "NUL": [b"X: a\x00b"],
    "bare CR": [b"X: a\rb"],
    "bare LF": [b"X: a\nb: c"],
    "obs-fold": [b"X: a", b" b"],
    "space before the colon": [b"X : a"],
    "control character": [b"X: \x1b"],
}


@pytest.mark.parametrize("kind", BAD)
def test_a_doubtful_head_is_refused(kind: str) -> None:
    """What can be read in two ways, or in none, is malformed."""
    with pytest.raises(MalformedResponseError):
        read(*BAD[kind])


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/2 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 O\x01K",
        b"hello",
    ],
)
def test_a_bad_status_line_is_refused(start: bytes) -> None:
    """Only HTTP/1.0 and HTTP/1.1 with a code from 100 to 599."""
    with pytest.raises(MalformedResponseError):
        read(start=start)


def test_chunks_in_http_1_0_are_refused() -> None:
    """HTTP/1.0 knows no chunks; who sends them means something else."""
    with pytest.raises(MalformedResponseError):
        read(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK")


def test_limits_are_kept() -> None:
    """A head beyond the limits is refused, whole or in its beginning."""
    limits = Limits(response_head_bytes_max=1000, response_fields_max=5)
    with pytest.raises(MalformedResponseError):
        read(b"X: " + b"a" * 1000, limits=limits)
    with pytest.raises(MalformedResponseError):
        read(*[b"X: 1"] * 6, limits=limits)
    for beginning in (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000, b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 7):
        with pytest.raises(MalformedResponseError):
            check_partial_response(beginning, limits)


@pytest.mark.parametrize("beginning", [b"\x16\x03\x01", b"hello", b"HTTP/2", b"HTTP/1.1 200 OK\nX: 1\n\n"])
def test_a_hopeless_beginning_is_refused_at_once(beginning: bytes) -> None:
    """TLS, text, or lines without CR are not waited for."""
    with pytest.raises(MalformedResponseError):
        check_partial_response(beginning, LIMITS)


def test_a_good_beginning_is_waited_for() -> None:
    """Every beginning of a good head passes."""
    raw = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 3\r\n\r\n"
    for length in range(1, len(raw)):
        check_partial_response(raw[:length], LIMITS)
