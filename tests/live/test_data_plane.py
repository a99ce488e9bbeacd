"""The data plane in one process, on both event loops: limits, endings, drain. More is in tests/end_to_end."""

import asyncio
import socket
from ipaddress import ip_network

import pytest

from swayam_proxy.live.settings import Limits, ListenSettings, Timeouts
from tests.end_to_end.connection import CutMessageError, wait_until
from tests.end_to_end.raw_client import request
from tests.end_to_end.scripted_backend import BackendConnection, Place, answer, echo, read_and_wait
from tests.live.plane import Serve, on_both_loops, running_plane


@on_both_loops
async def test_a_half_closed_client_gets_each_byte_once(serve: Serve) -> None:
    """The beginning that was sent ahead, to find out whether it left, is not sent again."""
    go_on = asyncio.Event()

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await go_on.wait()
        await connection.send(answer(b"late"))

    backend = await serve(script)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        await client.send(request("GET", "/m"))
        client.half_close()
        assert await client.read_exactly(9) == b"HTTP/1.1 "
        go_on.set()
        rest = await client.wait_for_end()
        assert rest.startswith(b"200 OK\r\n")
        assert rest.endswith(b"\r\n\r\nlate")
        assert b"Connection: close\r\n" in rest


@on_both_loops
async def test_a_refusal_costs_a_client_that_still_sends_little_no_connection(serve: Serve) -> None:
    """The rest of a small body is thrown away, the next request served; a large rest or chunks end it."""
    backend = await serve(echo)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        await client.send(b"POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + bytes(1000))
        refused = await client.read_answer()
        assert (refused.status, refused.one("connection")) == (404, None)
        await client.send(bytes(18_999))
        await client.send(b"x" + request("POST", "/m", body=b"next"))
        assert (await client.read_answer()).body == b"next"
        head = b"POST /none HTTP/1.1\r\nHost: a\r\n"
        for rest in (
            b"Content-Length: 1000000\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n",
            b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
        ):
            other = await plane.connect()
            await other.send(head + rest)
            assert (await other.read_answer()).one("connection") == b"close"
            assert await other.wait_for_end(3.0) == b""
            assert (await client.ask("GET", "/m")).status == 200


SHORT = Timeouts(
    request_head_s=0.3, request_body_idle_s=0.3, response_head_s=0.3, keep_alive_s=0.3, total_s=10.0
)


@pytest.mark.parametrize(
    ("raw", "code", "outcome", "reason"),
    [
        (b"GET /m HTTP/1.1\r\nHost: a\r\n", 408, "bad_request", "request_head_timeout"),
        (
            b"POST /m HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1",
            408,
            "bad_request",
            "request_body_timeout",
        ),
        (b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n", 504, "timeout", "response_head_timeout"),
    ],
)
@on_both_loops
async def test_every_phase_has_its_timeout(
    serve: Serve, raw: bytes, code: int, outcome: str, reason: str
) -> None:
    """What stops coming is ended after its time and a sweep, with the phase named."""

    async def silent(connection: BackendConnection) -> None:
        await connection.wait_for_end(60.0)

    backend = await serve(silent)
    async with running_plane(backend.place.address, timeouts=SHORT) as plane:
        client = await plane.connect()
        began = asyncio.get_running_loop().time()
        await client.send(raw)
        message = await client.read_answer()
        assert (message.status, message.one("x-swayam-reason")) == (code, reason.encode())
        assert 0.25 < asyncio.get_running_loop().time() - began < 2.0
        record = await plane.next_record()
        assert (record.code, record.outcome, record.reason) == (code, outcome, reason)
        assert plane.in_flight_count == 0
        assert (message.one("connection") == b"close") is (code == 408)
        if code == 408:
            assert await client.wait_for_end(1.0) == b""


@on_both_loops
async def test_a_whole_request_has_a_timeout_in_all(serve: Serve) -> None:
    """A stream that never stops is cut when the request has taken longer than it may."""

    async def endless(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.02)

    backend = await serve(endless)
    async with running_plane(backend.place.address, timeouts=Timeouts(total_s=0.4)) as plane:
        client = await plane.connect()
        message = await client.ask("GET", "/m")
        assert (message.status, message.complete) == (200, False)
        assert (await plane.next_record()).outcome == "timeout"


@on_both_loops
async def test_idle_clients_are_closed(serve: Serve) -> None:
    """A kept connection without a request ends after its time, without a word."""
    backend = await serve(echo)
    async with running_plane(backend.place.address, timeouts=SHORT) as plane:
        silent = await plane.connect()
        kept = await plane.connect()
        assert (await kept.ask("GET", "/m")).status == 200
        assert await silent.wait_for_end(3.0) == b""
        assert await kept.wait_for_end(3.0) == b""


@on_both_loops
async def test_no_more_clients_than_allowed(serve: Serve) -> None:
    """The one too many waits in the backlog and is served as soon as another leaves."""
    backend = await serve(echo)
    async with running_plane(backend.place.address, limits=Limits(connections_max=2)) as plane:
        first, second, third = [await plane.connect() for _ in range(3)]
        for client in (first, second):
            assert (await client.ask("GET", "/m")).status == 200
        await third.send(request("GET", "/m"))
        assert await third.stays_silent(0.3)
        assert not plane.data_plane.snapshot().accepting
        await first.close()
        assert (await third.read_answer()).status == 200


@on_both_loops
async def test_a_long_pipeline_is_answered_in_order_and_in_turns(serve: Serve) -> None:
    """A thousand pipelined requests that are answered at once do not keep the loop from others."""
    place = Place()
    async with running_plane(place.address) as plane:
        client, other = await plane.connect(), await plane.connect()
        await client.send(b"".join(request("GET", f"/none/{n}") for n in range(1000)))
        assert (await other.ask("GET", "/none/other")).status == 404
        for _ in range(1000):
            assert (await client.read_answer()).status == 404
        own = [record.path for record in plane.records if record.path != "/none/other"]
        assert own == [f"/none/{n}" for n in range(1000)]
        position = next(n for n, record in enumerate(plane.records) if record.path == "/none/other")
        assert position < 1000, "the other client had to wait for the whole pipeline"
    place.close()


@on_both_loops
async def test_a_sender_ahead_is_held_back(serve: Serve) -> None:
    """While an answer is awaited, no more of the next requests is read than may be read ahead."""
    backend = await serve(read_and_wait)
    limits = Limits(read_ahead_bytes_max=64 * 1024)
    async with running_plane(backend.place.address, limits=limits) as plane:
        client = await plane.connect()
        await client.send(request("GET", "/m"))
        await wait_until(lambda: len(backend.requests) == 1)
        client.writer.write(request("POST", "/m", body=bytes(1_000_000)) * 40)
        [connection] = plane.data_plane._shared.connections
        await wait_until(lambda: connection._reading_paused)
        assert len(connection.pending) <= 64 * 1024 + 256 * 1024  # one read beyond the limit
        client.reset()


@on_both_loops
async def test_debug_headers_tell_where_an_answer_came_from(serve: Serve) -> None:
    """Backend and attempts are told when that is asked for, and only then."""
    dead, backend = Place(), await serve(echo)
    for shown in (False, True):
        async with running_plane(
            dead.address, backend.place.address, settings={"debug_headers": shown}
        ) as plane:
            client = await plane.connect()
            attempts = set()
            for _ in range(8):
                message = await client.ask("GET", "/m")
                assert message.status == 200
                expected = backend.place.address.encode() if shown else None
                assert message.one("x-swayam-backend") == expected
                assert (message.one("server-timing") is not None) is shown
                attempts.add(message.one("x-swayam-attempts"))
            assert attempts <= ({b"1", b"2"} if shown else {None})
    dead.close()


@on_both_loops
async def test_a_trusted_peer_is_believed(serve: Serve) -> None:
    """Only peers of the given networks may say who their client is."""
    backend = await serve(echo)
    for network, hops in (("127.0.0.0/8", b"9.9.9.9, 127.0.0.1"), ("10.0.0.0/8", b"127.0.0.1")):
        trusted = (ip_network(network),)
        async with running_plane(backend.place.address, settings={"trusted_proxies": trusted}) as plane:
            client = await plane.connect()
            await client.ask("GET", "/m", fields=[("X-Forwarded-For", "9.9.9.9")])
            assert backend.requests[-1].one("x-forwarded-for") == hops


@on_both_loops
async def test_drain_lets_answers_end_and_closes_the_rest(serve: Serve) -> None:
    """No new client; the answer in flight says that it is the last; idle clients are closed soon."""
    go_on = asyncio.Event()

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await go_on.wait()
        await connection.send(answer(b"last"))

    backend = await serve(script)
    async with running_plane(backend.place.address) as plane:
        busy, idle = await plane.connect(), await plane.connect()
        await busy.send(request("GET", "/m"))
        await wait_until(lambda: len(backend.requests) == 1)
        plane.data_plane.begin_drain()
        with pytest.raises(ConnectionError):
            await plane.connect()
        assert await idle.wait_for_end(3.0) == b""
        assert plane.data_plane.in_flight_count == 1
        drained = asyncio.ensure_future(plane.data_plane.wait_drained())
        go_on.set()
        message = await busy.read_answer()
        assert (message.body, message.one("connection")) == (b"last", b"close")
        await asyncio.wait_for(drained, 3.0)
        assert plane.data_plane.snapshot().connections_count == 0


@on_both_loops
async def test_a_stream_that_began_before_the_drain_ends_and_so_does_its_client(serve: Serve) -> None:
    """Its head could not say that it is the last answer; the connection is closed behind it all the same."""
    go_on = asyncio.Event()

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await go_on.wait()
        await connection.send(b"0\r\n\r\n")

    backend = await serve(script)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        await client.send(request("GET", "/m"))
        await client.read_head()
        plane.data_plane.begin_drain()
        go_on.set()
        assert (await client.wait_for_end(3.0)).endswith(b"2\r\nhi\r\n0\r\n\r\n")
        await asyncio.wait_for(plane.data_plane.wait_drained(), 3.0)


@on_both_loops
async def test_stop_cuts_what_is_left(serve: Serve) -> None:
    """At the end of all patience clients and backends are cut, and every slot is free."""
    backend = await serve(read_and_wait)
    async with running_plane(backend.place.address) as plane:
        client = await plane.connect()
        await client.send(request("POST", "/m", body=b"1"))
        await wait_until(lambda: len(backend.requests) == 1)
        await plane.data_plane.stop()
        with pytest.raises(CutMessageError):
            await client.read_answer()
        assert plane.in_flight_count == 0
        assert (await plane.next_record()).outcome == "client_abort"
        await wait_until(lambda: not backend._players)


@on_both_loops
async def test_a_taken_port_is_told_and_nothing_stays_bound(serve: Serve) -> None:
    """Start fails as a whole: the first address is free again when the second is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = Place()
        free = socket.create_server(("127.0.0.1", 0))
        listen = [ListenSettings(port=sock.getsockname()[1]) for sock in (free, taken)]
        free.close()
        with pytest.raises(OSError, match="in use"):
            async with running_plane(place.address, listen=listen):
                pass
        with socket.create_server(("127.0.0.1", listen[0].port)):
            place.close()
