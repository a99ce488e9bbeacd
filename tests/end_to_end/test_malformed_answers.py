"""Fault matrix A, backends that answer wrongly: nothing cut may look complete, nothing ambiguous may pass."""

import asyncio
import contextlib
import random
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import CutMessageError, Message, wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import RawClient
from tests.end_to_end.scripted_backend import BackendConnection, Script, always, answer

MIB = 1024 * 1024


def once(data: bytes, *, reset: bool = False) -> Script:
    """Answer the first request with `data`, then end the connection."""

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(data)
        if reset:
            await asyncio.sleep(0.05)  # so that the reset does not overtake the bytes
            connection.reset()

    return script


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


async def ask_or_cut(client: RawClient, path: str, version: str = "HTTP/1.1") -> Message | None:
    """GET `path`; None when the connection ended before a whole head."""
    try:
        return await client.ask("GET", path, version=version)
    except CutMessageError:
        return None


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
    message = await ask_or_cut(client, one.path, version)
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
    message = await ask_or_cut(client, one.path, version)
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


@pytest.mark.parametrize(
    "data",
    [
        answer(b"whole", fields=[("Connection", "close")]),
        answer(b"whole", version="HTTP/1.0"),
        answer(b"whole", fields=[("Connection", "X-Other, Close")]),
    ],
    ids=["close", "HTTP/1.0", "close in a list"],
)
async def test_f18_a_connection_that_the_backend_gives_up_is_not_used_again(
    one: Service, serve: Serve, connect: Connect, data: bytes
) -> None:
    """The answer passes, the backend's connection is closed by the proxy, the client's one is kept."""

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(data)
        rest = await connection.wait_for_end(within_s=2.0)
        assert rest == b""

    backend = await serve(one.places[0], script)
    client = await connect()
    for _ in range(3):
        message = await client.ask("GET", one.path)
        assert (message.status, message.body, message.complete) == (200, b"whole", True)
        assert b"close" not in message.head.tokens("connection")
    assert len(backend.connections) == backend.hits == 3
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)


async def test_f18_http_1_0_with_keep_alive_passes(one: Service, serve: Serve, connect: Connect) -> None:
    """An HTTP/1.0 backend that keeps its connection is answered from as well, and so is the client."""
    data = answer(b"whole", version="HTTP/1.0", fields=[("Connection", "keep-alive")])
    await serve(one.places[0], always(data))
    client = await connect()
    for _ in range(3):
        message = await client.ask("GET", one.path)
        assert (message.version, message.status, message.body) == (b"HTTP/1.1", 200, b"whole")


@pytest.mark.parametrize("writes", [1, 2])
async def test_f19_an_unasked_second_answer_reaches_nobody(
    one: Service, serve: Serve, connect: Connect, writes: int
) -> None:
    """What a backend sends beyond its answer is dropped with its connection, in 100 tries with 2 clients."""
    unasked = answer(b"unasked")

    async def script(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            asked = answer(seen.target.encode())
            if writes == 1:
                await connection.send(asked + unasked)
            else:
                connection.writer.write(asked)
                await connection.send(unasked)

    backend = await serve(one.places[0], script)
    clients = [await connect(), await connect()]
    rng = random.Random(19)
    for n in range(100):
        path = f"{one.path}/{n}"
        message = await rng.choice(clients).ask("GET", path)
        assert (message.status, message.body) == (200, path.encode())
    assert all(b"unasked" not in client.received for client in clients)
    assert len(backend.connections) == 100


async def test_f22_answers_without_a_body_leave_the_connection_usable(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """103 then 200, 204, 304 with a length and HEAD with a length: right status, no body awaited."""
    by_name = {
        "early": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" + answer(b"late"),
        "none": b"HTTP/1.1 204 No Content\r\nX-Kept: 1\r\n\r\n",
        "same": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 77\r\n\r\n',
        "head": b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
        "chunked-head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "plain": answer(b"plain"),
    }

    async def script(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            await connection.send(by_name[seen.target.rpartition("/")[2]])

    backend = await serve(one.places[0], script)
    client = await connect()
    for _ in range(2):
        early = await client.ask("GET", f"{one.path}/early", within_s=1.0)
        assert (early.status, early.body) == (200, b"late")
        assert [head.start_line.split(b" ")[1] for head in early.interim] == [b"103"]
        none = await client.ask("GET", f"{one.path}/none", within_s=1.0)
        assert (none.status, none.one("x-kept")) == (204, b"1")
        assert none.one("content-length") is None
        assert none.one("transfer-encoding") is None
        same = await client.ask("GET", f"{one.path}/same", within_s=1.0)
        assert (same.status, same.one("etag")) == (304, b'"a"')
        head = await client.ask("HEAD", f"{one.path}/head", within_s=1.0)
        assert (head.status, head.one("content-length")) == (200, b"77")
        assert (await client.ask("HEAD", f"{one.path}/chunked-head", within_s=1.0)).status == 200
        assert (await client.ask("GET", f"{one.path}/plain", within_s=1.0)).body == b"plain"
    assert len(backend.connections) == 1


async def test_f23_a_body_ended_by_close_is_passed_whole(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """A close-delimited body arrives whole: re-framed or closed for HTTP/1.1, never chunked for HTTP/1.0."""
    body = random.Random(23).randbytes(300_000)
    await serve(one.places[0], always(b"HTTP/1.1 200 OK\r\nX-Kept: 1\r\n\r\n" + body, then_close=True))
    modern, old = await connect(), await connect()
    message = await modern.ask("GET", one.path)
    assert (message.status, message.body, message.complete) == (200, body, True)
    message = await old.ask("GET", one.path, version="HTTP/1.0")
    assert (message.status, message.body, message.complete) == (200, body, True)
    assert message.framing in {"close", "length"}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
async def test_f23_a_body_ended_by_reset_is_cut(
    one: Service, serve: Serve, connect: Connect, version: str
) -> None:
    """A reset is no end of a close-delimited body: the client must be able to tell."""
    await serve(one.places[0], once(b"HTTP/1.1 200 OK\r\n\r\nhalf", reset=True))
    message = await ask_or_cut(await connect(), one.path, version)
    assert message is None or message.status == 502 or not message.complete


async def test_f23_a_chunked_answer_is_unwrapped_for_http_1_0(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """An HTTP/1.0 client gets the bytes of a chunked answer without the chunks."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    await serve(one.places[0], always(data))
    message = await (await connect()).ask("GET", one.path, version="HTTP/1.0")
    assert (message.status, message.body, message.complete) == (200, b"hello world", True)
    assert message.one("transfer-encoding") is None
