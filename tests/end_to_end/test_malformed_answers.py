"""Fault matrix A, backends that answer wrongly: nothing cut may look complete, nothing ambiguous may pass."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.scripted_backend import BackendConnection, Script, once

MIB = 1024 * 1024


def then_wait(data: bytes) -> Script:
    """Answer the first request with `data` and leave the connection open: only the proxy can end it."""

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        with contextlib.suppress(ConnectionError):
            await connection.send(data)
        await connection.wait_for_end()

    return script


@contextlib.contextmanager
def memory_growth_below(process: ProxyProcess, bytes_max: int) -> Iterator[None]:
    """The peak of resident memory inside the block stays within `bytes_max` of where it began."""
    process.reset_peak()
    before_bytes = process.peak_rss_bytes()
    yield
    assert process.peak_rss_bytes() - before_bytes < bytes_max


async def logged_outcome(proxy: SharedProxy, path: str) -> str:
    """Return what the access log calls the end of the one request for `path`."""
    records = await asyncio.to_thread(proxy.process.records_of, path)
    return str(records[0]["outcome"])


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("reset", [False, True])
async def test_f08_an_answer_cut_short_never_looks_complete(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect, reset: bool, version: str
) -> None:
    """500 of 1000 bytes, then close or reset: the client's connection ends early, and the log says so."""
    await serve(
        one.places[0], once(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500, reset=reset)
    )
    client = await connect()
    message = await client.ask_or_cut(one.path, version)
    assert message is not None
    assert (message.status, message.complete) == (200, False)
    assert len(message.body) <= 500
    assert await logged_outcome(proxy, one.path) == "upstream_error"


CUT_CHUNKED = {
    "cut in a chunk": b"5\r\nhello\r\na\r\nonly",
    "cut behind a chunk": b"5\r\nhello\r\n",
    "cut before the last line end": b"5\r\nhello\r\n0\r\n",
    "chunk size zz": b"5\r\nhello\r\nzz\r\nworld\r\n0\r\n\r\n",
    "chunk longer than its size": b"5\r\nhello\r\n3\r\nworld\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("cut", CUT_CHUNKED)
async def test_f09_a_broken_chunked_answer_gets_no_final_chunk(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect, cut: str, version: str
) -> None:
    """A chunked answer that breaks ends the client's connection without a final chunk, or is 502."""
    await serve(
        one.places[0], once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CUT_CHUNKED[cut])
    )
    client = await connect()
    message = await client.ask_or_cut(one.path, version)
    if message is not None and message.status != 502:
        assert (message.status, message.complete) == (200, False)
        assert not bytes(client.received).endswith(b"0\r\n\r\n")
        assert b"world" not in message.body
    assert await logged_outcome(proxy, one.path) == "upstream_error"


async def test_f09_chunk_trouble_after_the_head_was_passed_on(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """Once the client has the head and a chunk, a bad chunk size can only end its connection."""
    client_has_hello = asyncio.Event()

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await client_has_hello.wait()
        await connection.send(b"zz\r\nworld\r\n0\r\n\r\n")
        await connection.wait_for_end()

    await serve(one.places[0], script)
    client = await connect()
    await client.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % one.path.encode())
    while b"hello" not in client.received:
        assert await client.read_some()
    client_has_hello.set()
    rest = await client.wait_for_end(1.0)
    assert b"world" not in rest
    assert not bytes(client.received).endswith(b"0\r\n\r\n")


NOT_HTTP = {
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "a TLS hello": b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(range(111)),
    "HTTP/0.9 text": b"<html><body>hello</body></html>\n",
    "1 MiB without a newline": b"A" * MIB,
    "1 MiB of reason": b"HTTP/1.1 200 " + b"A" * MIB,
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a bad version": b"HTTP/11.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("kind", NOT_HTTP)
async def test_f10_what_is_not_http_is_502_within_a_second(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """No status line: 502 at once, the connection dropped, memory not grown, nothing of it passed on."""
    backend = await serve(one.places[0], then_wait(NOT_HTTP[kind]))
    client = await connect()
    with memory_growth_below(proxy.process, 4 * MIB):
        for _ in range(3):
            began_at = time.monotonic()
            message = await client.ask("GET", one.path)
            assert message.status == 502
            assert time.monotonic() - began_at <= 1.0
    assert NOT_HTTP[kind][:12] not in client.received
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)


BAD_LENGTHS = {
    "two different": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "plus": b"Content-Length: +5\r\n",
    "list": b"Content-Length: 5, 6\r\n",
    "negative": b"Content-Length: -1\r\n",
    "hexadecimal": b"Content-Length: 0x5\r\n",
    "with a space": b"Content-Length: 5 5\r\n",
    "empty": b"Content-Length:\r\n",
    "beyond 64 bits": b"Content-Length: 18446744073709551621\r\n",
}


@pytest.mark.parametrize("kind", BAD_LENGTHS)
async def test_f11_an_answer_of_doubtful_length_is_502(
    one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """A Content-Length that is not one plain number makes 502, and its connection is dropped."""
    backend = await serve(
        one.places[0], then_wait(b"HTTP/1.1 200 OK\r\n" + BAD_LENGTHS[kind] + b"\r\nhello!")
    )
    client = await connect()
    assert (await client.ask("GET", one.path)).status == 502
    assert b"hello" not in client.received
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ],
)
async def test_f12_length_beside_chunked_has_one_reading(
    one: Service, serve: Serve, connect: Connect, fields: bytes
) -> None:
    """502, or chunked wins and Content-Length is dropped; the connection is never used again."""
    backend = await serve(
        one.places[0], then_wait(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n5\r\nhello\r\n0\r\n\r\n")
    )
    client = await connect()
    message = await client.ask("GET", one.path)
    if message.status != 502:
        assert (message.status, message.body, message.complete) == (200, b"hello", True)
        assert message.framing == "chunked"
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)


BAD_FIELDS = {
    "NUL in a value": b"X-Bad: one\x00two\r\n",
    "bare CR in a value": b"X-Bad: one\rX-Worse: two\r\n",
    "bare LF in a value": b"X-Bad: one\nX-Worse: two\r\n",
    "NUL in a name": b"X-B\x00ad: one\r\n",
    "bare CR in a name": b"X-B\rad: one\r\n",
    "no colon": b"X-Bad one\r\n",
    "space before the colon": b"X-Bad : one\r\n",
    "empty name": b": one\r\n",
    "obs-fold": b"X-Bad: one\r\n two\r\n",
    "escape": b"X-Bad: one\x1b[2Jtwo\r\n",
}


@pytest.mark.parametrize("kind", BAD_FIELDS)
async def test_f13_a_bad_byte_in_a_field_is_502(
    one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """A control byte or a broken line in the head makes 502; nothing of the answer reaches the client."""
    data = b"HTTP/1.1 200 OK\r\nX-Good: seen\r\n" + BAD_FIELDS[kind] + b"Content-Length: 5\r\n\r\nhello"
    backend = await serve(one.places[0], then_wait(data))
    client = await connect()
    message = await client.ask("GET", one.path)
    if kind == "obs-fold" and message.status == 200:  # RFC 9112 5.2 also allows to replace it by a space
        assert message.one("x-bad") == b"one two"
        return
    assert message.status == 502
    for piece in (b"X-Good", b"X-Bad", b"X-Worse", b"hello", b"two"):
        assert piece not in client.received
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)


BIG_HEADS = {
    "one field of 1 MB": b"X-Big: " + b"x" * 1_000_000 + b"\r\n",
    "fields of 1 MB": b"".join(b"X-%d: %b\r\n" % (n, b"x" * 10_000) for n in range(100)),
    "2,000 fields": b"".join(b"X-%d: y\r\n" % n for n in range(2000)),
}


@pytest.mark.parametrize("kind", BIG_HEADS)
async def test_f14_an_endless_head_is_502(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect, kind: str
) -> None:
    """A head beyond the limits makes 502 and costs next to no memory."""
    head = b"HTTP/1.1 200 OK\r\n" + BIG_HEADS[kind] + b"Content-Length: 2\r\n\r\nok"
    backend = await serve(one.places[0], then_wait(head))
    client = await connect()
    with memory_growth_below(proxy.process, 4 * MIB):
        for _ in range(3):
            assert (await client.ask("GET", one.path)).status == 502
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)
