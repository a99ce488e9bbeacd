"""Backends that decide byte for byte what they send and when, and record what they saw.

A *place* is an address that is reserved but does not listen: a connection to it is refused until a backend is
started there. So a proxy can be configured, and started, before the tests decide what its backends do.
"""

import asyncio
import contextlib
import select
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from tests.end_to_end.connection import PATIENCE_S, READ_LIMIT_BYTES, Connection, CutMessageError, Message

Script = Callable[["BackendConnection"], Awaitable[None]]
"""Plays one accepted connection from beginning to end; the connection is closed when it returns."""


def answer(
    body: bytes = b"ok",
    *,
    status: str = "200 OK",
    fields: Iterable[tuple[str, str]] = (),
    version: str = "HTTP/1.1",
) -> bytes:
    """Write one whole answer with its Content-Length."""
    lines = [
        f"{version} {status}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in fields),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Place:
    """One reserved address of 127.0.0.1; refuses connections until something listens on it."""

    def __init__(self) -> None:
        """Reserve a free port."""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.bind(("127.0.0.1", 0))
        self.endpoint: tuple[str, int] = self.socket.getsockname()

    @property
    def address(self) -> str:
        """The address as configuration writes it."""
        return f"127.0.0.1:{self.endpoint[1]}"

    def fill_accept_queue(self) -> list[socket.socket]:
        """Listen with the smallest backlog, never accept, and fill it: further connects hang.

        Return the sockets that fill it; the caller closes them.
        """
        self.socket.listen(0)
        fillers: list[socket.socket] = []
        while True:
            filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            filler.settimeout(0.2)
            fillers.append(filler)
            try:
                filler.connect(self.endpoint)
            except TimeoutError:
                return fillers

    def close(self) -> None:
        """Give the port back."""
        self.socket.close()


class BackendConnection(Connection):
    """One connection that the proxy made to a scripted backend."""

    def __init__(
        self, backend: "ScriptedBackend", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Count it in `backend`."""
        super().__init__(reader, writer)
        self.backend = backend
        backend.connections.append(self)
        self.number = len(backend.connections)
        self.requests: list[Message] = []
        self.opened_at = time.monotonic()
        self.ended_at: float | None = None
        """When the proxy was seen to close or reset it (monotonic)."""

    async def next_request(self, within_s: float = 60.0) -> Message:
        """Read the next whole request and count the hit; `CutMessageError` when the proxy leaves first."""
        message = await self.read_request(within_s)
        self.requests.append(message)
        self.backend.requests.append(message)
        return message

    def close_if_silent(self) -> None:
        """Close at this very moment, as an idle timer does, unless a request has begun to come in."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        buffered: bytearray = self.reader._buffer  # type: ignore[attr-defined]
        if not buffered and not select.select([sock.fileno()], [], [], 0.0)[0]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # the transport would close only in the loop's next turn
            self.writer.close()

    async def wait_for_end(self, within_s: float = PATIENCE_S) -> bytes:
        """Wait until the proxy closes or resets, and note when it did."""
        rest = await super().wait_for_end(within_s)
        self.ended_at = time.monotonic()
        return rest


class ScriptedBackend:
    """A server at one place; every connection is played by the same script."""

    def __init__(self, place: Place, script: Script) -> None:
        """Prepare; `start` begins to listen."""
        self.place = place
        self.script = script
        self.connections: list[BackendConnection] = []
        self.requests: list[Message] = []
        self.mistakes: list[BaseException] = []
        """What scripts raised: a failed assertion in a script must fail the test."""
        self._players: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def hits(self) -> int:
        """How many whole requests came."""
        return len(self.requests)

    @property
    def received(self) -> bytes:
        """Every byte of every connection, one connection after another."""
        return b"".join(bytes(connection.received) for connection in self.connections)

    async def start(self, tls: ssl.SSLContext | None = None) -> Self:
        """Begin to listen, with TLS when a context is given."""
        self._server = await asyncio.start_server(
            self._accept, sock=self.place.socket, limit=READ_LIMIT_BYTES, backlog=1024, ssl=tls
        )
        return self

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        player = asyncio.create_task(self._play(BackendConnection(self, reader, writer)))
        self._players.add(player)
        player.add_done_callback(self._players.discard)

    async def _play(self, connection: BackendConnection) -> None:
        try:
            await self.script(connection)
        except (CutMessageError, ConnectionError, asyncio.IncompleteReadError):
            connection.ended_at = connection.ended_at or time.monotonic()
        except Exception as error:  # noqa: BLE001 - handed to the test by `stop`
            self.mistakes.append(error)
        finally:
            await connection.close()

    async def stop(self) -> None:
        """Stop listening, end every script, and raise what scripts raised."""
        if self._server is not None:
            self._server.close()
        for player in list(self._players):
            player.cancel()
        await asyncio.gather(*self._players, return_exceptions=True)
        for connection in self.connections:
            await connection.close()
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    await self._server.wait_closed()
        if self.mistakes:
            raise AssertionError("a backend's script failed") from self.mistakes[0]


def always(data: bytes, *, then_close: bool = False) -> Script:
    """Answer every request with `data`; keep the connection unless `then_close`."""

    async def script(connection: BackendConnection) -> None:
        while True:
            await connection.next_request()
            await connection.send(data)
            if then_close:
                return

    return script


def once(data: bytes, *, reset: bool = False) -> Script:
    """Answer the first request with `data`, then end the connection."""

    async def script(connection: BackendConnection) -> None:
        await connection.next_request()
        await connection.send(data)
        if reset:
            await asyncio.sleep(0.05)  # so that the reset does not overtake the bytes
            connection.reset()

    return script


async def echo(connection: BackendConnection) -> None:
    """Answer every request with its own body, and its start line in `X-Seen`."""
    while True:
        message = await connection.next_request()
        await connection.send(answer(message.body, fields=[("X-Seen", message.head.start_line.decode())]))


async def read_and_wait(connection: BackendConnection) -> None:
    """Read a whole request, never answer, and note when the proxy gives up."""
    await connection.next_request()
    await connection.wait_for_end(within_s=60.0)
