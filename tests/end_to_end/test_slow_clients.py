"""Fault matrix B, clients that dawdle: each costs a bounded amount of memory and time, and only itself."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import MATRIX_TIMEOUTS as TIMEOUTS
from tests.end_to_end.conftest import Serve, Service, proxy_config, running_proxy, service_table
from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import RawClient, request
from tests.end_to_end.scripted_backend import BackendConnection, Place, answer

MIB = 1024 * 1024
SLOW_COUNT = 200
WRITE_IDLE_S = 5.0
TOTAL_S = 12.0
P99_FLOOR_S = 0.010
"""Below this, a p99 on a busy test machine is the test's own noise, not the proxy's."""
TCP_ESTABLISHED = b"\x01"


@pytest.fixture
def patient_proxy(tmp_path: Path) -> Iterator[tuple[ProxyProcess, Service]]:
    """A proxy of its own with one service and the timeouts of the matrix, to measure its memory."""
    place = Place()
    config = proxy_config(
        {"patience": service_table((place,))}, timeouts={**TIMEOUTS, "client_write_idle": "30s"}
    )
    with running_proxy(tmp_path, config) as process:
        yield process, Service("patience", (place,))
    place.close()


@pytest.fixture
def guarded_proxy(tmp_path: Path) -> Iterator[tuple[ProxyProcess, Service]]:
    """The same with short limits for clients that do not read, and for whole requests."""
    place = Place()
    timeouts = {**TIMEOUTS, "client_write_idle": f"{WRITE_IDLE_S}s", "total": f"{TOTAL_S}s"}
    with running_proxy(
        tmp_path, proxy_config({"guarded": service_table((place,))}, timeouts=timeouts)
    ) as process:
        yield process, Service("guarded", (place,))
    place.close()


def bytes_in_kernel(port_of_client_or_backend: set[int]) -> dict[int, int]:
    """Sum the bytes that wait in socket buffers of connections with one end at each of these ports."""
    waiting = dict.fromkeys(port_of_client_or_backend, 0)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        queues = sum(int(part, 16) for part in columns[4].split(":"))
        for end in columns[1], columns[2]:
            port = int(end.split(":")[1], 16)
            if port in waiting:
                waiting[port] += queues
    return waiting


class Download:
    """One client that asks for a large answer and does not read, and the backend's side of it."""

    def __init__(self) -> None:
        self.client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.client.setblocking(False)
        self.backend: BackendConnection | None = None
        self.written_bytes = 0

    async def serve(self, connection: BackendConnection) -> None:
        """Send 256 MiB that are made up on the way."""
        self.backend = connection
        piece = bytes(64 * 1024)
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        for _ in range(256 * MIB // len(piece)):
            self.written_bytes += len(piece)
            await connection.send(piece)

    def read_ahead_bytes(self) -> int:
        """Bytes that the proxy itself holds: written, and in no buffer of a socket or of the backend."""
        assert self.backend is not None, "no backend was asked"
        transport = self.backend.writer.transport
        ports = {self.client.getsockname()[1], transport.get_extra_info("peername")[1]}
        in_buffers = transport.get_write_buffer_size() + sum(bytes_in_kernel(ports).values())
        return self.written_bytes - in_buffers


@pytest.mark.slow
async def test_f26_clients_that_do_not_read_cost_little_memory(
    patient_proxy: tuple[ProxyProcess, Service], serve: Serve
) -> None:
    """8 unread downloads of 256 MiB: at most 1 MiB read ahead each, 32 MiB in all; after 10 s they go on."""
    process, service = patient_proxy
    downloads = [Download() for _ in range(8)]

    async def script(connection: BackendConnection) -> None:
        while True:
            name = (await connection.next_request()).target.rpartition("/")[2]
            await (downloads[int(name)].serve(connection) if name.isdigit() else connection.send(answer()))

    await serve(service.places[0], script)
    warm = await RawClient.open(process.endpoint)
    for _ in range(50):
        assert (await warm.ask("GET", f"{service.path}/warm-up")).status == 200
    await warm.close()
    process.reset_peak()
    before_bytes = process.peak_rss_bytes()
    loop = asyncio.get_running_loop()
    try:
        for n, download in enumerate(downloads):
            await loop.sock_connect(download.client, process.endpoint)
            await loop.sock_sendall(download.client, request("GET", f"{service.path}/{n}"))
        await asyncio.sleep(10.0)  # the row's own time: nothing ends before
        assert process.peak_rss_bytes() - before_bytes < 32 * MIB
        for download in downloads:
            assert download.written_bytes > MIB // 4, "the download never began"
            assert download.read_ahead_bytes() <= MIB
        for download in downloads:
            received_bytes = 0
            async with asyncio.timeout(5.0):
                while received_bytes < 16 * MIB:
                    received = await loop.sock_recv(download.client, MIB)
                    assert received, "a client that paused must be able to go on"
                    received_bytes += len(received)
        assert process.peak_rss_bytes() - before_bytes < 32 * MIB
    finally:
        for download in downloads:
            download.client.close()


async def dawdle(endpoint: tuple[str, int], opening: bytes, drop: bytes, every_s: float) -> float:
    """Connect, send `opening`, then `drop` again and again; return after how long the proxy ended it (s)."""
    client = await RawClient.open(endpoint)
    began_at = time.monotonic()
    try:
        await client.send(opening)
        while True:
            try:
                words = await client.read_some(every_s)
            except TimeoutError:
                await client.send(drop)
                continue
            if not words:
                break
            assert words.startswith((b"HTTP/1.1 408", b"HTTP/1.1 504")), words[:100]
    except ConnectionError:
        pass
    finally:
        await client.close()
    return time.monotonic() - began_at


async def refuse_to_read(endpoint: tuple[str, int], opening: bytes) -> float:
    """Ask for much, read nothing; return after how long the proxy ended it (s)."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400
        )  # loopback's 64 KiB would swell buffers
        client.setblocking(False)
        await loop.sock_connect(client, endpoint)
        began_at = time.monotonic()
        await loop.sock_sendall(client, opening)
        while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == TCP_ESTABLISHED:
            assert time.monotonic() - began_at < 20.0, "a client that does not read was kept"
            await asyncio.sleep(0.1)
        return time.monotonic() - began_at


async def after(delay_s: float, dawdler: Coroutine[None, None, float]) -> float:
    """Let `dawdler` begin later: the many come one after another."""
    try:
        await asyncio.sleep(delay_s)
        return await dawdler
    finally:
        dawdler.close()


async def p99_s(client: RawClient, path: str, until: Callable[[], bool]) -> float:
    """Ask every 5 ms until `until` says so; return the 99th percentile of the answers' times."""
    taken_s: list[float] = []
    while not until():
        began_at = time.monotonic()
        assert (await client.ask("GET", path)).status == 200
        taken_s.append(time.monotonic() - began_at)
        await asyncio.sleep(0.005)
    return sorted(taken_s)[int(len(taken_s) * 0.99)]


@pytest.mark.slow
async def test_f27_slow_clients_are_ended_and_disturb_nobody(
    guarded_proxy: tuple[ProxyProcess, Service], serve: Serve
) -> None:
    """200 slow heads, bodies and readers each: ended by their own timeouts, while others keep their p99."""
    process, service = guarded_proxy
    piece = bytes(64 * 1024)

    async def script(connection: BackendConnection) -> None:
        while True:
            seen = await connection.next_request()
            if not seen.target.endswith("/large"):
                await connection.send(answer())
                continue
            sock: socket.socket = connection.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(piece))
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * MIB))
            for _ in range(8 * MIB // len(piece)):
                await connection.send(piece)

    await serve(service.places[0], script)
    client = await RawClient.open(process.endpoint)
    calm_until = time.monotonic() + 2.0
    calm_s = await p99_s(client, service.path, lambda: time.monotonic() > calm_until)

    line = b"X-Slow: 1\r\n"
    head = request("GET", service.path)[:-2]
    body = request("POST", service.path, fields=[("Content-Length", "1000")])
    large_request = request("GET", f"{service.path}/large")
    endpoint = process.endpoint
    each = range(SLOW_COUNT)
    heads = asyncio.gather(*(after(n / 100, dawdle(endpoint, head, line, 5.0)) for n in each))
    stalled = asyncio.gather(*(after(n / 100, dawdle(endpoint, body, b"", 30.0)) for n in each[::2]))
    trickling = asyncio.gather(*(after(n / 100, dawdle(endpoint, body, b"x", 3.0)) for n in each[1::2]))
    readers = asyncio.gather(*(after(n / 100, refuse_to_read(endpoint, large_request)) for n in each))
    everyone = asyncio.gather(heads, stalled, trickling, readers)
    try:
        slow_s = await p99_s(client, service.path, everyone.done)
        await everyone
    finally:
        everyone.cancel()
        await asyncio.gather(everyone, return_exceptions=True)
        await client.close()
    assert_each_within(heads.result(), 9.9, 12.0)
    assert_each_within(stalled.result(), 9.9, 12.0)
    assert_each_within(trickling.result(), TOTAL_S - 0.1, TOTAL_S + 2.0)
    # The kernel takes a little more at first, which counts as progress once.
    assert_each_within(readers.result(), WRITE_IDLE_S - 0.1, 2 * WRITE_IDLE_S + 1.0)
    assert slow_s <= 2.0 * max(calm_s, P99_FLOOR_S), f"calm {calm_s * 1e3:.1f} ms, slow {slow_s * 1e3:.1f} ms"


def assert_each_within(taken_s: list[float], low_s: float, high_s: float) -> None:
    """Check every time taken against its limits."""
    assert low_s <= min(taken_s) <= max(taken_s) <= high_s
