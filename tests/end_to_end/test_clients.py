"""Fault matrix B, clients that leave, half-close or pipeline."""

import asyncio
import contextlib
import time

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import wait_until
from tests.end_to_end.raw_client import RawClient, chunked, request
from tests.end_to_end.scripted_backend import BackendConnection, always, answer, echo

MIB = 1024 * 1024


async def first_hangs(connection: BackendConnection) -> None:
    """Never answer the first request of all; answer every other one."""
    while True:
        await connection.next_request()
        if connection.backend.hits == 1:
            await connection.wait_for_end(within_s=60.0)
            return
        await connection.send(answer())


@pytest.mark.parametrize("leaves", ["by close", "by reset"])
async def test_f24_a_client_that_leaves_frees_its_slot(
    proxy: SharedProxy, narrow: Service, serve: Serve, connect: Connect, leaves: str
) -> None:
    """The backend's connection is closed within 1 s, the only slot serves the next, no backend is blamed."""
    backend = await serve(narrow.places[0], first_hangs)
    client = await connect()
    await client.send(request("POST", f"{narrow.path}/left", body=b"12345"))
    await wait_until(lambda: backend.hits == 1)
    left_at = time.monotonic()
    if leaves == "by reset":
        client.reset()
    await client.close()
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.5)
    assert (backend.connections[0].ended_at or 0.0) - left_at <= 1.0
    assert (await (await connect()).ask("GET", narrow.path, within_s=1.0)).status == 200
    records = await asyncio.to_thread(proxy.process.records_of, f"{narrow.path}/left")
    assert (records[0]["outcome"], records[0]["code"]) == ("client_abort", 499)
    state = await asyncio.to_thread(proxy.process.state_of, narrow.name)
    assert [backend["faults_count"] for backend in state["backends"]] == [0]


async def test_f24_a_client_that_leaves_the_queue_is_never_forwarded(
    narrow: Service, serve: Serve, connect: Connect
) -> None:
    """A call whose client left while it was queued does not reach the backend when the slot comes free."""
    let_go = asyncio.Event()

    async def first_waits(connection: BackendConnection) -> None:
        while True:
            await connection.next_request()
            if connection.backend.hits == 1:
                await let_go.wait()
            await connection.send(answer())

    backend = await serve(narrow.places[0], first_waits)
    first, queued, last = await connect(), await connect(), await connect()
    await first.send(request("GET", f"{narrow.path}/first"))
    await wait_until(lambda: backend.hits == 1)
    await queued.send(request("POST", f"{narrow.path}/queued", body=b"12345"))
    assert await queued.stays_silent(0.1)
    queued.reset()
    await last.send(request("GET", f"{narrow.path}/last"))
    assert await last.stays_silent(0.1)
    let_go.set()
    assert (await first.read_answer()).status == 200
    assert (await last.read_answer(within_s=1.0)).status == 200
    assert [message.target.rpartition("/")[2] for message in backend.requests] == ["first", "last"]


async def endless(connection: BackendConnection) -> None:
    """Answer with 256 MiB that are made up on the way, until the proxy leaves."""
    piece = bytes(64 * 1024)
    await connection.next_request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
    try:
        for _ in range(256 * MIB // len(piece)):
            await connection.send(piece)
    except ConnectionError:
        connection.ended_at = time.monotonic()
        raise


@pytest.mark.parametrize("leaves", ["by close", "by reset"])
async def test_f25_a_client_that_leaves_a_download_ends_it(
    one: Service, serve: Serve, connect: Connect, leaves: str
) -> None:
    """A download whose client left in the middle is given up by the proxy within 1 s."""
    backend = await serve(one.places[0], endless)
    client = await connect()
    await client.send(request("GET", one.path))
    while len(client.received) < 8 * MIB:
        assert await client.read_some()
    client.received.clear()
    left_at = time.monotonic()
    if leaves == "by reset":
        client.reset()
    await client.close()
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.5)
    assert (backend.connections[0].ended_at or 0.0) - left_at <= 1.0


@pytest.mark.parametrize("size_bytes", [2, 500_000])
async def test_f28_a_client_that_half_closes_gets_its_whole_answer(
    one: Service, serve: Serve, connect: Connect, size_bytes: int
) -> None:
    """FIN behind a whole request is no farewell: the answer comes whole, then the connection ends."""
    body = bytes(range(256)) * (size_bytes // 256 + 1)

    async def think(connection: BackendConnection) -> None:
        await connection.next_request()
        await asyncio.sleep(0.3)
        await connection.send(answer(body))
        await connection.wait_for_end(within_s=60.0)

    await serve(one.places[0], think)
    client = await connect()
    await client.send(request("POST", one.path, body=b"12345"))
    client.half_close()
    message = await client.read_answer("POST", within_s=2.0)
    assert (message.status, message.body, message.complete) == (200, body, True)
    assert await client.wait_for_end(1.0) == b""


async def test_f28_pipelined_calls_before_a_half_close_are_all_answered(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """FIN behind ten calls: ten answers in order, good and bad ones, then the end."""

    async def slowly(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            await asyncio.sleep(0.02)
            if seen.target.endswith("/3"):
                connection.reset()
                return
            await connection.send(answer(seen.target.encode()))

    await serve(one.places[0], slowly)
    client = await connect()
    await client.send(b"".join(request("POST", f"{one.path}/{n}", body=b"12345") for n in range(10)))
    client.half_close()
    for n in range(10):
        message = await client.read_answer("POST", within_s=2.0)
        if n == 3:
            assert message.status == 502
        else:
            assert (message.status, message.body) == (200, f"{one.path}/{n}".encode())
    assert await client.wait_for_end(1.0) == b""


async def test_f29_fifty_pipelined_gets_are_answered_in_order(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """50 GETs in one write get 50 answers, in the order of the calls."""
    await serve(one.places[0], echo)
    client = await connect()
    paths = [f"{one.path}/{n}" for n in range(50)]
    await client.send(b"".join(request("GET", path) for path in paths))
    for path in paths:
        message = await client.read_answer()
        assert (message.status, message.one("x-seen")) == (200, f"GET {path} HTTP/1.1".encode())


async def test_f29_pipelined_calls_of_mixed_sizes_keep_their_bodies(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """Small and large, counted and chunked calls in one stream of bytes are neither mixed nor reordered."""
    await serve(one.places[0], echo)
    client = await connect()
    bodies = [bytes([n]) * size for n, size in enumerate([0, 1, 70_000, 5, 300_000, 0, 1000, 2])]
    stream = b""
    for n, body in enumerate(bodies):
        if n % 2:
            stream += request("PUT", f"{one.path}/{n}", fields=[("Transfer-Encoding", "chunked")])
            stream += chunked(*(piece for piece in (body[:100], body[100:]) if piece))
        else:
            stream += request("PUT", f"{one.path}/{n}", body=body)
    sending = asyncio.create_task(client.send(stream))
    for n, body in enumerate(bodies):
        message = await client.read_answer("PUT")
        assert (message.status, message.one("x-seen")) == (200, f"PUT {one.path}/{n} HTTP/1.1".encode())
        assert message.body == body
    await sending


async def test_f29_pipelined_calls_are_answered_in_order_by_uneven_backends(
    two: Service, serve: Serve, connect: Connect
) -> None:
    """A quick answer to a later call never overtakes the slow answer to an earlier one."""

    async def slow_when_even(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            if int(seen.target.rpartition("/")[2]) % 2 == 0:
                await asyncio.sleep(0.05)
            await connection.send(answer(seen.target.encode()))

    for place in two.places:
        await serve(place, slow_when_even)
    client = await connect()
    await client.send(b"".join(request("GET", f"{two.path}/{n}") for n in range(10)))
    for n in range(10):
        assert (await client.read_answer()).body == f"{two.path}/{n}".encode()


async def test_byte_by_byte_requests_are_understood(one: Service, serve: Serve, connect: Connect) -> None:
    """Where the packets are cut does not matter, not even in the middle of a line end."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    call = request("POST", one.path, fields=[("Transfer-Encoding", "chunked")]) + chunked(b"hello", b" world")
    for byte in call:
        await client.send(bytes([byte]))
        await asyncio.sleep(0)
    message = await client.read_answer("POST")
    assert (message.status, message.body) == (200, b"hello world")
    assert backend.hits == 1


async def test_connection_close_of_the_client_is_obeyed(one: Service, serve: Serve, connect: Connect) -> None:
    """A client that says close gets its answer with `Connection: close`, then the end."""
    backend = await serve(one.places[0], always(answer()))
    for fields, version in (([("Connection", "close")], "HTTP/1.1"), ([], "HTTP/1.0")):
        client = await connect()
        message = await client.ask("GET", one.path, fields=fields, version=version)
        assert (message.status, message.body, message.complete) == (200, b"ok", True)
        assert b"keep-alive" not in message.head.tokens("connection")
        if version == "HTTP/1.1":
            assert b"close" in message.head.tokens("connection")
        assert await client.wait_for_end(1.0) == b""
    assert len(backend.connections) == 1, "the client's wish is not the backend's business"


async def test_an_http_1_0_client_may_keep_its_connection(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """HTTP/1.0 with `Connection: keep-alive` is served twice on one connection, and told so."""
    await serve(one.places[0], always(answer()))
    client = await connect()
    for _ in range(2):
        message = await client.ask("GET", one.path, fields=[("Connection", "keep-alive")], version="HTTP/1.0")
        assert (message.status, message.body, message.framing) == (200, b"ok", "length")
        assert b"keep-alive" in message.head.tokens("connection")


async def test_a_client_that_connects_and_says_nothing_disturbs_nobody(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """Silent, vanishing and garbage connections leave the proxy serving."""
    await serve(one.places[0], always(answer()))
    for data in (b"", b"GET", b"\r\n", b"\x00" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        client = await connect()
        with contextlib.suppress(ConnectionError):
            await client.send(data)
        client.reset()
    answers = await asyncio.gather(*[ask_once(await connect(), one.path) for _ in range(20)])
    assert answers == [200] * 20


async def ask_once(client: RawClient, path: str) -> int:
    """Return the status of one GET."""
    return (await client.ask("GET", path)).status
