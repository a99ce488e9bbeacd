"""Fault matrix A, slow backends, early answers and Expect: each wait has its own end, streams have none."""

import asyncio
import time

import pytest

from tests.end_to_end.conftest import Connect, Serve, Service, SharedProxy
from tests.end_to_end.connection import PATIENCE_S, wait_until
from tests.end_to_end.raw_client import chunked, request
from tests.end_to_end.scripted_backend import BackendConnection, always, answer, echo, read_and_wait


async def test_f15_a_silent_backend_is_504_at_two_seconds(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect
) -> None:
    """504 between 1.8 and 2.6 s, GET and POST alike; the backend's connection is closed; logged as such."""
    backend = await serve(one.places[0], read_and_wait)

    async def ask(method: str) -> None:
        client = await connect()
        began_at = time.monotonic()
        message = await client.ask(method, one.path, body=b"12345" if method == "POST" else None)
        assert message.status == 504
        assert 1.8 <= time.monotonic() - began_at <= 2.6
        assert message.one("x-swayam-reason")

    await asyncio.gather(ask("GET"), ask("POST"))
    assert backend.hits == 2
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.0)
    records = await asyncio.to_thread(proxy.process.records_of, one.path, 2)
    assert [record["outcome"] for record in records] == ["timeout", "timeout"]


async def test_f15_silence_in_the_middle_of_an_answer_ends_it(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """A body that stalls is cut after the idle timeout, and never looks complete."""

    async def stall(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await connection.wait_for_end(within_s=60.0)

    backend = await serve(one.places[0], stall)
    client = await connect()
    began_at = time.monotonic()
    message = await client.ask("GET", one.path)
    assert 1.8 <= time.monotonic() - began_at <= 2.9
    assert (message.status, message.body, message.complete) == (200, b"12345", False)
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)


async def test_f16_a_slow_stream_completes(one: Service, serve: Serve, connect: Connect) -> None:
    """8 bytes, one each 0.5 s: 200, though the whole takes longer than any idle timeout."""

    async def trickle(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for n in range(8):
            await asyncio.sleep(0.5)
            await connection.send(b"%d" % n)
        await connection.wait_for_end(within_s=60.0)

    await serve(one.places[0], trickle)
    began_at = time.monotonic()
    message = await (await connect()).ask("GET", one.path)
    assert (message.status, message.body, message.complete) == (200, b"01234567", True)
    assert time.monotonic() - began_at >= 3.9


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/x-ndjson"])
async def test_each_event_arrives_before_the_next_is_sent(
    one: Service, serve: Serve, connect: Connect, content_type: str
) -> None:
    """Events are passed on one by one: the backend sends the next only when the client has the last."""
    client_has = [asyncio.Event() for _ in range(10)]

    async def events(connection: BackendConnection) -> None:
        await connection.next_request()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head.encode())
        for n, arrived in enumerate(client_has):
            event = b"data: {%d}\n\n" % n
            await connection.send(b"%x\r\n%b\r\n" % (len(event), event))
            async with asyncio.timeout(PATIENCE_S):
                await arrived.wait()
        await connection.send(b"0\r\n\r\n")
        await connection.wait_for_end(within_s=60.0)

    await serve(one.places[0], events)
    client = await connect()
    await client.send(request("GET", one.path, fields=[("Accept", content_type)]))
    for n, arrived in enumerate(client_has):
        while b"data: {%d}\n\n" % n not in client.received:
            assert await client.read_some(1.0)
        arrived.set()
    while not bytes(client.received).endswith(b"0\r\n\r\n"):
        assert await client.read_some(1.0)


async def test_both_directions_stream_at_once(one: Service, serve: Serve, connect: Connect) -> None:
    """An echo of each piece comes back before the next piece of the request is sent."""

    async def parrot(connection: BackendConnection) -> None:
        await connection.read_head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        seen = b""
        while len(seen) < 50:
            piece = await connection.read_some()
            assert piece
            seen += piece
            await connection.send(piece)
        await connection.wait_for_end(within_s=60.0)

    await serve(one.places[0], parrot)
    client = await connect()
    await client.send(request("POST", one.path, fields=[("Content-Length", "50")]))
    for n in range(10):
        await client.send(b"<%03d>" % n)
        while b"<%03d>" % n not in client.received:
            assert await client.read_some(1.0)


@pytest.mark.parametrize("reads", ["meanwhile", "afterwards"])
async def test_f20_an_early_413_reaches_a_client_that_still_sends(
    one: Service, serve: Serve, connect: Connect, reads: str
) -> None:
    """The client gets the 413, also when it first sends all it has; soon the proxy reads no further."""

    async def refuse_early(connection: BackendConnection) -> None:
        await connection.read_head()
        await connection.read_exactly(10_000)
        await connection.send(
            answer(b"too big", status="413 Payload Too Large", fields=[("Connection", "close")])
        )

    await serve(one.places[0], refuse_early)
    client = await connect()
    await client.send(request("POST", one.path, fields=[("Content-Length", "1500000")]))
    sent_bytes = 0

    async def upload(pause_s: float) -> None:
        nonlocal sent_bytes
        try:
            while sent_bytes < 1_500_000:
                await client.send(b"x" * 10_000)
                sent_bytes += 10_000
                await asyncio.sleep(pause_s)
        except ConnectionError:
            return

    if reads == "afterwards":
        async with asyncio.timeout(PATIENCE_S):
            await upload(0.0)
        message = await client.read_answer("POST")
        assert (message.status, message.body) == (413, b"too big")
        return
    uploading = asyncio.create_task(upload(0.02))  # would take 3 s
    try:
        message = await client.read_answer("POST")
        assert (message.status, message.body) == (413, b"too big")
        await client.wait_for_end(1.2)
        assert sent_bytes < 1_000_000
    finally:
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)


async def test_f21_expect_is_answered_within_a_second(one: Service, serve: Serve, connect: Connect) -> None:
    """A backend that never sends 100 does not hold the body back for more than a second."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    began_at = time.monotonic()
    await client.send(request("POST", one.path, fields=[("Expect", "100-continue"), ("Content-Length", "5")]))
    interim = await client.read_head(within_s=1.3)
    assert interim.start_line.startswith(b"HTTP/1.1 100")
    await client.send(b"hello")
    message = await client.read_answer("POST", within_s=1.3)
    assert (message.status, message.body) == (200, b"hello")
    assert time.monotonic() - began_at <= 2.0
    assert backend.hits == 1


async def test_f21_a_client_that_does_not_wait_is_served(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """A client may send the body at once in spite of its Expect; the next call on its connection works."""
    await serve(one.places[0], echo)
    client = await connect()
    for body in (b"hello", b"again"):
        message = await client.ask(
            "POST", one.path, body=body, fields=[("Expect", "100-continue")], within_s=2.0
        )
        assert (message.status, message.body) == (200, body)


async def test_f21_a_100_of_the_backend_is_no_second_one(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """A backend that does send 100 leads to the answer, and to at most one 100 at the client."""

    async def polite(connection: BackendConnection) -> None:
        while True:
            head = await connection.read_head()
            if head.one("expect"):
                await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await connection.read_exactly(int(head.one("content-length") or b"0"))
            await connection.send(answer(body))

    await serve(one.places[0], polite)
    client = await connect()
    await client.send(request("POST", one.path, fields=[("Expect", "100-continue"), ("Content-Length", "5")]))
    assert (await client.read_head(within_s=1.3)).start_line.startswith(b"HTTP/1.1 100")
    await client.send(b"hello")
    message = await client.read_answer("POST", within_s=1.3)
    assert (message.status, message.body, message.interim) == (200, b"hello", [])


async def test_f21_an_http_1_0_client_never_sees_a_1xx(one: Service, serve: Serve, connect: Connect) -> None:
    """Neither its own Expect nor the backend's 100 or 103 makes an interim answer for an HTTP/1.0 client."""

    async def chatty(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            await connection.send(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            )
            await connection.send(answer(seen.body))

    await serve(one.places[0], chatty)
    client = await connect()
    await client.send(
        request("POST", one.path, body=b"hello", fields=[("Expect", "100-continue")], version="HTTP/1.0")
    )
    message = await client.read_answer("POST", within_s=1.5)
    assert (message.status, message.body, message.interim) == (200, b"hello", [])


async def test_f21_expect_is_refused_before_the_body(
    proxy: SharedProxy, one: Service, serve: Serve, connect: Connect
) -> None:
    """What will be refused anyway is refused without 100, and its body is never asked for."""
    backend = await serve(one.places[0], echo)
    expecting = ("Expect", "100-continue")
    for path, fields, status in (
        (one.path, [expecting, ("Content-Length", str(3 * 1024 * 1024))], 413),
        ("/no-such-route", [expecting, ("Content-Length", "5")], 404),
        (one.path, [("Expect", "a miracle"), ("Content-Length", "5")], 417),
    ):
        client = await connect()
        await client.send(request("POST", path, fields=fields))
        message = await client.read_answer("POST", within_s=1.0)
        assert (message.status, message.interim) == (status, [])
    assert backend.hits == 0
    assert backend.received == b""


async def test_a_large_chunked_upload_arrives_whole(one: Service, serve: Serve, connect: Connect) -> None:
    """A chunked body in uneven pieces arrives whole and in order; its trailers are dropped."""
    backend = await serve(one.places[0], echo)
    pieces = [bytes([n % 256]) * (n * 37 % 5000 + 1) for n in range(200)]
    client = await connect()
    await client.send(
        request("POST", one.path, fields=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")])
        + chunked(*pieces, trailers=b"X-Sum: 12\r\nContent-Length: 5\r\n")
    )
    message = await client.read_answer("POST")
    assert (message.status, message.body) == (200, b"".join(pieces))
    assert backend.requests[0].body == b"".join(pieces)
    assert backend.requests[0].trailers == ()
    assert (await client.ask("GET", one.path)).status == 200


async def test_a_cut_upload_is_never_taken_for_a_whole_request(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """When the client leaves in the middle of its body, the backend's connection ends before the body."""
    backend = await serve(one.places[0], echo)
    client = await connect()
    await client.send(request("POST", one.path, fields=[("Content-Length", "100")]) + b"x" * 50)
    await wait_until(lambda: len(backend.connections) == 1)
    await client.close()
    other = await connect()
    await other.send(request("POST", one.path, fields=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n")
    await wait_until(lambda: len(backend.connections) == 2)
    await other.close()
    await wait_until(lambda: all(connection.ended_at for connection in backend.connections), 1.5)
    assert backend.hits == 0


async def test_a_kept_connection_serves_many_calls(one: Service, serve: Serve, connect: Connect) -> None:
    """One client's calls one after another take one connection to the backend."""
    backend = await serve(one.places[0], always(answer()))
    client = await connect()
    for n in range(50):
        assert (await client.ask("GET", f"{one.path}/{n}")).status == 200
    assert len(backend.connections) == 1
