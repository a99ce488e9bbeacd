"""Requests at a steady rate to several proxies, and backends that answer them after a fixed time.

Runs on one event loop; every request's outcome is kept under the proxy that it went to.
"""

import asyncio
import time
from collections import defaultdict
from types import TracebackType

_REQUEST = b"POST /digits HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer-Timing: exec;dur=%.1f\r\n\r\nok"
_PATIENCE_S = 10.0
SLOW_S = 2.5
"""What a request takes whose path holds "/slow"."""


class _Answering(asyncio.Protocol):
    """One connection of a backend: each request is answered after its time."""

    def __init__(self, execution_s: float, connections: set[asyncio.WriteTransport]) -> None:
        self._execution_s = execution_s
        self._connections = connections
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        assert self._transport is not None
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < 2:
            return
        self._received = b""
        execution_s = SLOW_S if b"/slow" in head else self._execution_s
        asyncio.get_running_loop().call_later(execution_s, self._answer, execution_s)

    def _answer(self, execution_s: float) -> None:
        assert self._transport is not None
        self._transport.write(_ANSWER % (execution_s * 1000.0))


class TimedBackends:
    """Servers that answer every request after `execution_s`, one port each; bodies have two bytes."""

    def __init__(self, execution_s: float) -> None:
        self.addresses: list[str] = []
        self._execution_s = execution_s
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.WriteTransport] = set()

    async def start(self, count: int) -> None:
        """Listen on `count` free ports."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            server = await loop.create_server(
                lambda: _Answering(self._execution_s, self._connections), "127.0.0.1", 0
            )
            self._servers.append(server)
            self.addresses.append(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def stop(self) -> None:
        """Close the listeners and all connections."""
        for server in self._servers:
            server.close()
        async with asyncio.timeout(_PATIENCE_S):
            while self._connections:
                for connection in self._connections:
                    connection.abort()
                await asyncio.sleep(0.01)


class PacedLoad:
    """`rate_per_s` requests a second, spread evenly in time and in turn over the proxies in `targets`."""

    def __init__(self, rate_per_s: float) -> None:
        self.targets: list[tuple[str, int]] = []
        """Where requests go from now on."""
        self.failures: dict[tuple[str, int], list[str]] = defaultdict(list)
        self.sent_at: list[float] = []
        """When each request was due and sent, in monotonic seconds."""
        self._gap_s = 1.0 / rate_per_s
        self._idle: dict[tuple[str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = (
            defaultdict(list)
        )
        self._requests: set[asyncio.Task[None]] = set()
        self._pacer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "PacedLoad":
        self._pacer = asyncio.create_task(self._pace())
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._pacer is not None
        self._pacer.cancel()
        await asyncio.gather(self._pacer, return_exceptions=True)
        await asyncio.gather(*self._requests)
        writers = [writer for connections in self._idle.values() for _, writer in connections]
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    async def _pace(self) -> None:
        due, number = time.monotonic(), 0
        while True:
            if self.targets:
                self.sent_at.append(time.monotonic())
                task = asyncio.create_task(self._ask(self.targets[number % len(self.targets)]))
                self._requests.add(task)
                task.add_done_callback(self._requests.discard)
            number += 1
            due += self._gap_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask(self, target: tuple[str, int]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status = await self._exchange(target)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.failures[target].append(repr(error))
            return
        if status != b"200":
            self.failures[target].append(status.decode())

    async def _exchange(self, target: tuple[str, int]) -> bytes:
        idle = self._idle[target]
        reader, writer = idle.pop() if idle else await asyncio.open_connection(*target)
        try:
            writer.write(_REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head.lower():
            writer.close()
        else:
            idle.append((reader, writer))
        return head.split()[1]
