"""Fault matrix A, where answers end: connections given up, bytes behind the end, answers without bodies."""

import random

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service
from tests.end_to_end.connection import wait_until
from tests.end_to_end.scripted_backend import BackendConnection, always, answer, once


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
    message = await (await connect()).ask_or_cut(one.path, version)
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
