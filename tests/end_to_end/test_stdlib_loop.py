"""The same promises on the loop of the standard library, where uvloop cannot be had."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import Connect, Serve, proxy_config, running_proxy, service_table
from tests.end_to_end.connection import wait_until
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import chunked, request
from tests.end_to_end.scripted_backend import BackendConnection, Place, answer, echo

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def stdlib_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ProxyProcess, dict[str, Place]]]:
    """A proxy on the standard library's loop."""
    places = {name: Place() for name in ("echo", "dead", "broken", "silent", "large", "left")}
    services = {name: service_table((place,)) for name, place in places.items()}
    config = proxy_config(services, process={"loop": "asyncio"})
    with running_proxy(tmp_path_factory.mktemp("stdlib"), config) as process:
        yield process, places
    for place in places.values():
        place.close()


async def test_the_stdlib_loop_serves(
    stdlib_proxy: tuple[ProxyProcess, dict[str, Place]], serve: Serve, connect: Connect
) -> None:
    """Counted, chunked and pipelined calls are answered in order over one kept connection."""
    process, places = stdlib_proxy
    assert "uvloop" not in maps_of(process)
    backend = await serve(places["echo"], echo)
    client = await connect(process.endpoint)
    body = bytes(range(256)) * 2000
    assert (await client.ask("POST", "/echo", body=body)).body == body
    await client.send(
        request("PUT", "/echo", fields=[("Transfer-Encoding", "chunked")]) + chunked(b"a", b"bc")
    )
    assert (await client.read_answer("PUT")).body == b"abc"
    await client.send(b"".join(request("GET", f"/echo/{n}") for n in range(50)))
    for n in range(50):
        assert (await client.read_answer()).one("x-seen") == f"GET /echo/{n} HTTP/1.1".encode()
    client.half_close()
    assert await client.wait_for_end(1.0) == b""
    assert len(backend.connections) == 1


def maps_of(process: ProxyProcess) -> str:
    """Return which libraries the process has loaded."""
    with open(f"/proc/{process.process.pid}/maps") as maps:
        return maps.read()


async def test_the_stdlib_loop_meets_faults(
    stdlib_proxy: tuple[ProxyProcess, dict[str, Place]], serve: Serve, connect: Connect
) -> None:
    """Refused is 503, a cut answer is cut, silence is 504, bad framing is 400: as on the other loop."""
    process, places = stdlib_proxy

    async def cut(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)

    async def silent(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.wait_for_end(within_s=60.0)

    await serve(places["broken"], cut)
    backend = await serve(places["silent"], silent)
    client = await connect(process.endpoint)
    assert (await client.ask("GET", "/dead")).status in {502, 503}
    began_at = time.monotonic()
    assert (await client.ask("POST", "/silent", body=b"12345")).status == 504
    assert 1.8 <= time.monotonic() - began_at <= 2.6
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)
    message = await client.ask("GET", "/broken")
    assert (message.status, message.complete) == (200, False)
    bad = await connect(process.endpoint)
    await bad.send(request("POST", "/silent", fields=[("Content-Length", "5"), ("Content-Length", "6")]))
    assert (await bad.read_answer()).status == 400


async def test_the_stdlib_loop_holds_back_and_lets_go(
    stdlib_proxy: tuple[ProxyProcess, dict[str, Place]], serve: Serve, connect: Connect
) -> None:
    """A large unread answer is not hoarded; a client that leaves takes its backend's connection with it."""
    process, places = stdlib_proxy
    large = answer(bytes(64 * MIB))

    async def send_large(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(large)

    async def compute(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.wait_for_end(within_s=60.0)

    await serve(places["large"], send_large)
    backend = await serve(places["left"], compute)
    client = await connect(process.endpoint)
    process.reset_peak()
    before_bytes = process.peak_rss_bytes()
    await client.send(request("GET", "/large"))
    message = await client.read_answer("GET", within_s=20.0)
    assert (len(message.body), message.complete) == (64 * MIB, True)
    assert process.peak_rss_bytes() - before_bytes < 16 * MIB
    leaving = await connect(process.endpoint)
    await leaving.send(request("GET", "/left"))
    await wait_until(lambda: backend.hits == 1)
    await leaving.close()
    await asyncio.sleep(0)
    await wait_until(lambda: backend.connections[0].ended_at is not None, 1.0)
