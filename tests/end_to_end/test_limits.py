"""Limits and timeouts that no row of the fault matrix names: each is obeyed, and only where it belongs."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import (
    MATRIX_LIMITS,
    MATRIX_TIMEOUTS,
    Connect,
    Serve,
    Service,
    proxy_config,
    running_proxy,
    service_table,
)
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import request
from tests.end_to_end.scripted_backend import BackendConnection, Place, always, answer, echo, read_and_wait

MIB = 1024 * 1024
CONNECTIONS_MAX = 20
SHORT_TIMEOUTS = {
    **MATRIX_TIMEOUTS,
    "response_head": "5s",
    "response_idle": "1500ms",
    "keep_alive": "1s",
    "backend_idle": "1s",
    "tunnel_idle": "1s",
    "total": "3s",
}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n"


@pytest.fixture(scope="module")
def strict_proxy(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[ProxyProcess, dict[str, Service]]]:
    """A proxy with short timeouts and few connections, and services with limits of their own."""
    names = ("idle", "silent", "endless", "tunnel", "deaf", "small", "crowded", "slow", "full")
    places = {name: Place() for name in names}
    tables = {name: service_table((place,)) for name, place in places.items()}
    tables["small"] |= {"limits": {"request_body_bytes_max": 1000}}
    tables["slow"] |= {"timeouts": {"response_head": "1s"}}
    tables["full"] |= {"slots": 1, "queue": {"count_max": 2, "wait_max": "2s"}, "execution_time": "10ms"}
    limits = {**MATRIX_LIMITS, "connections_max": CONNECTIONS_MAX}
    config = proxy_config(tables, timeouts=SHORT_TIMEOUTS, limits=limits)
    with running_proxy(tmp_path_factory.mktemp("strict"), config) as process:
        yield process, {name: Service(name, (place,)) for name, place in places.items()}
    for place in places.values():
        place.close()


async def test_idle_connections_end_on_both_sides(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """A client's idle connection is closed after `keep_alive`, a backend's one after `backend_idle`."""
    process, services = strict_proxy
    backend = await serve(services["idle"].places[0], always(answer()))
    client = await connect(process.endpoint)
    assert (await client.ask("GET", "/idle")).status == 200
    began_at = time.monotonic()
    assert await client.wait_for_end(3.0) == b""
    assert 0.9 <= time.monotonic() - began_at <= 1.8
    await wait_until(lambda: backend.connections[0].ended_at is not None, 3.0)


async def test_total_bounds_what_no_other_timeout_does(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """After `total` a silent backend means 504, and a stream without an end is cut, never completed."""
    process, services = strict_proxy

    async def stream(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await connection.send(b"4\r\ntick\r\n")
            await asyncio.sleep(0.2)

    await serve(services["silent"].places[0], read_and_wait)
    await serve(services["endless"].places[0], stream)

    async def ask(path: str) -> tuple[int, bool, float]:
        client = await connect(process.endpoint)
        began_at = time.monotonic()
        message = await client.ask("GET", path)
        return message.status, message.complete, time.monotonic() - began_at

    (silent_status, _, silent_s), (status, complete, stream_s) = await asyncio.gather(
        ask("/silent"), ask("/endless")
    )
    assert silent_status == 504
    assert (status, complete) == (200, False)
    assert 2.9 <= silent_s <= 3.6
    assert 2.9 <= stream_s <= 3.6


async def test_a_silent_tunnel_ends(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """A tunnel lives while either side speaks, beyond `total`, and ends after `tunnel_idle` of silence."""
    process, services = strict_proxy

    async def tunnel(connection: BackendConnection) -> None:
        await connection.read_head()
        await connection.send(SWITCH)
        await connection.wait_for_end(within_s=60.0)

    backend = await serve(services["tunnel"].places[0], tunnel)
    client = await connect(process.endpoint)
    fields = [("Connection", "Upgrade"), ("Upgrade", "chat")]
    assert (await client.ask("GET", "/tunnel", fields=fields)).status == 101
    for _ in range(7):
        await client.send(b"still here")
        assert await client.stays_silent(0.5)
    silent_at = time.monotonic()
    await client.wait_for_end(3.0)
    assert 0.4 <= time.monotonic() - silent_at <= 1.5
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)


async def test_a_backend_that_does_not_read_holds_the_upload_back(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """The proxy does not hoard what a backend does not take, and answers 504 in the end."""
    process, services = strict_proxy

    async def deaf(connection: BackendConnection) -> None:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(20.0)

    await serve(services["deaf"].places[0], deaf)
    process.reset_peak()
    before_bytes = process.peak_rss_bytes()
    clients = [await connect(process.endpoint) for _ in range(8)]
    body = bytes(2 * MIB)

    async def upload(number: int) -> int:
        call = request("POST", "/deaf", body=body)
        sending = asyncio.create_task(clients[number].send(call))
        try:
            return (await clients[number].read_answer("POST")).status
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    assert await asyncio.gather(*(upload(number) for number in range(8))) == [504] * 8
    assert process.peak_rss_bytes() - before_bytes < 8 * MIB


async def test_limits_and_timeouts_of_a_service_hold_for_it_alone(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """One service's smaller body limit and shorter timeout do not touch the others."""
    process, services = strict_proxy
    await serve(services["small"].places[0], echo)
    await serve(services["slow"].places[0], read_and_wait)
    client = await connect(process.endpoint)
    assert (await client.ask("POST", "/small", body=b"x" * 1000)).status == 200
    began_at = time.monotonic()
    assert (await client.ask("GET", "/slow")).status == 504
    assert 0.9 <= time.monotonic() - began_at <= 1.6
    message = await client.ask("POST", "/small", body=b"x" * 1001)
    assert message.status == 413


async def test_connections_beyond_the_limit_wait_for_one_to_leave(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """With all connections taken nobody is thrown out; the next one is served when one leaves."""
    process, services = strict_proxy
    await serve(services["crowded"].places[0], always(answer()))

    async def keep_busy(number: int) -> None:
        client = await connect(process.endpoint)
        assert (await client.ask("GET", f"/crowded/{number}")).status == 200

    for number in range(CONNECTIONS_MAX):
        await keep_busy(number)
    waiting = await connect(process.endpoint)
    assert (await waiting.ask("GET", "/crowded/waiting", within_s=5.0)).status == 200


async def test_a_full_queue_refuses_with_a_time_to_come_back(
    strict_proxy: tuple[ProxyProcess, dict[str, Service]], serve: Serve, connect: Connect
) -> None:
    """One call runs, two wait, the rest is refused at once with Retry-After; those taken are served."""
    process, services = strict_proxy
    let_go = asyncio.Event()

    async def hold(connection: BackendConnection) -> None:
        while True:
            await connection.next_request()
            await let_go.wait()
            await connection.send(answer())

    backend = await serve(services["full"].places[0], hold)
    clients = [await connect(process.endpoint) for _ in range(6)]
    await clients[0].send(request("GET", "/full/0"))
    await wait_until(lambda: backend.hits == 1)
    for number in (1, 2):
        await clients[number].send(request("GET", f"/full/{number}"))
        assert await clients[number].stays_silent(0.1)
    for number in (3, 4, 5):
        began_at = time.monotonic()
        message = await clients[number].ask("GET", f"/full/{number}")
        assert time.monotonic() - began_at <= 0.1
        assert (message.status, message.one("x-swayam-reason")) == (503, b"queue_full")
        assert int(message.one("retry-after") or b"0") >= 1
    let_go.set()
    for number in (0, 1, 2):
        assert (await clients[number].read_answer()).status == 200
    assert backend.hits == 3


async def test_more_pipelined_calls_than_the_limit_are_answered_too(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """500 calls in one stream are answered in order: the limit bounds what waits, it refuses nobody."""
    await serve(one.places[0], echo)
    client = await connect()
    paths = [f"{one.path}/{n}" for n in range(500)]
    sending = asyncio.create_task(client.send(b"".join(request("GET", path) for path in paths)))
    for path in paths:
        assert (await client.read_answer()).one("x-seen") == f"GET {path} HTTP/1.1".encode()
    await sending


async def test_bytes_behind_the_last_call_do_not_break_its_answer(
    one: Service, serve: Serve, connect: Connect
) -> None:
    """What a client sends behind a call with `Connection: close` is ignored; the answer arrives whole."""
    await serve(one.places[0], always(answer(bytes(300_000))))
    call = request("POST", one.path, body=b"12345", fields=[("Connection", "close")])
    for _ in range(20):
        client = await connect()
        await client.send(call + b"x" * 100_000)
        message = await client.read_answer("POST")
        assert (message.status, len(message.body), message.complete) == (200, 300_000, True)
        assert await client.wait_for_end(2.0) == b""
