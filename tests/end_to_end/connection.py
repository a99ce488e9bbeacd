"""One TCP connection seen byte for byte, and a strict reader of HTTP/1.x messages on it.

Knows HTTP framing, so that both the scripted backends and the raw clients can tell a whole message from a cut
one. Shares no code with the proxy: what it believes of HTTP is written here a second time, on purpose.
Everything that is read stays in `received`, so that a test can also say what must never arrive.
"""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

READ_LIMIT_BYTES = 4 * 1024 * 1024
PATIENCE_S = 8.0
"""How long a read waits before the test fails; far above every time limit that a row checks."""

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class MalformedMessageError(Exception):
    """The peer sent something that is not HTTP/1.x in the strictest reading."""


class CutMessageError(Exception):
    """The connection ended before a whole head; `received` holds what came, `reset` says how it ended."""

    def __init__(self, received: bytes, *, reset: bool) -> None:
        super().__init__(f"connection ended ({'reset' if reset else 'closed'}) after {received[:300]!r}")
        self.received = received
        self.reset = reset


async def wait_until(condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Wait for `condition`, looked at every few milliseconds; `TimeoutError` when it stays false."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the condition is about the other process
            await asyncio.sleep(0.003)


@dataclass(frozen=True, slots=True)
class Head:
    """Start line and fields of one message, as they came."""

    start_line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    raw: bytes = field(repr=False, default=b"")

    def all(self, name: str) -> list[bytes]:
        """Return the values of every field called `name`, in order."""
        wanted = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == wanted]

    def one(self, name: str) -> bytes | None:
        """Return the value of the only field called `name`; None when there is none."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None

    def tokens(self, name: str) -> set[bytes]:
        """Return the comma-separated members of the field called `name`, in lower case."""
        return {
            part.strip().lower() for value in self.all(name) for part in value.split(b",") if part.strip()
        }


@dataclass(slots=True)
class Message:
    """One request or answer: its head, its body so far, and whether it is known to be whole."""

    head: Head
    body: bytes = b""
    complete: bool = False
    framing: str = "none"
    """none, length, chunked, close or tunnel."""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    interim: list[Head] = field(default_factory=list)
    """The 1xx answers that came before this one."""

    @property
    def version(self) -> bytes:
        """HTTP/1.0 or HTTP/1.1, of a request or of an answer."""
        line = self.head.start_line
        return line[:8] if line.startswith(b"HTTP/") else line.rsplit(b" ", 1)[-1]

    @property
    def status(self) -> int:
        """The status code of an answer."""
        return int(self.head.start_line.split(b" ", 2)[1])

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.head.start_line.split(b" ", 1)[0].decode()

    @property
    def target(self) -> str:
        """The target of a request."""
        return self.head.start_line.split(b" ")[1].decode()

    def one(self, name: str) -> bytes | None:
        """Return the value of the only field called `name`; None when there is none."""
        return self.head.one(name)

    def all(self, name: str) -> list[bytes]:
        """Return the values of every field called `name`."""
        return self.head.all(name)


def parse_fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Parse field lines without their line ends; raise `MalformedMessageError` on anything unusual."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise MalformedMessageError(f"field line {line[:200]!r}")
        fields.append((name, value))
    return tuple(fields)


def parse_head(raw: bytes) -> Head:
    """Parse a whole head, the empty line included."""
    lines = raw[:-4].split(b"\r\n")
    return Head(start_line=lines[0], fields=parse_fields(lines[1:]), raw=raw)


class Connection:
    """One connection, of a raw client to the proxy or of the proxy to a scripted backend."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take over an open connection."""
        self.reader = reader
        self.writer = writer
        self.received = bytearray()

    @classmethod
    async def open(cls, endpoint: tuple[str, int], tls: ssl.SSLContext | None = None) -> Self:
        """Connect to `endpoint`."""
        host, port = endpoint
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(host, port, limit=READ_LIMIT_BYTES, ssl=tls)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        """Write `data` and wait until the kernel or the buffer took it."""
        self.writer.write(data)
        await self.writer.drain()

    async def _take(self, awaitable: Awaitable[bytes], within_s: float) -> bytes:
        """Await one read of the stream with a deadline, and keep what it gave."""
        async with asyncio.timeout(within_s):
            piece = await awaitable
        self.received += piece
        return piece

    async def read_exactly(self, count: int, within_s: float = PATIENCE_S) -> bytes:
        """Read `count` bytes."""
        return await self._take(self.reader.readexactly(count), within_s)

    async def read_some(self, within_s: float = PATIENCE_S) -> bytes:
        """Read what is there, at least one byte; b"" at the end."""
        return await self._take(self.reader.read(256 * 1024), within_s)

    async def read_head(self, within_s: float = PATIENCE_S) -> Head:
        """Read one head; raise `CutMessageError` when the connection ends before it is whole."""
        try:
            raw = await self._take(self.reader.readuntil(b"\r\n\r\n"), within_s)
        except asyncio.IncompleteReadError as error:
            self.received += error.partial
            raise CutMessageError(error.partial, reset=False) from error
        except ConnectionError as error:
            raise CutMessageError(bytes(self.received), reset=True) from error
        return parse_head(raw)

    async def read_line(self, within_s: float = PATIENCE_S) -> bytes:
        """Read one line and return it without its CRLF."""
        return (await self._take(self.reader.readuntil(b"\r\n"), within_s))[:-2]

    async def _read_chunks(self, message: Message, within_s: float) -> None:
        while True:
            size_line = (await self.read_line(within_s)).partition(b";")[0]
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size_line):
                raise MalformedMessageError(f"chunk size {size_line!r}")
            size = int(size_line, 16)
            if size == 0:
                break
            await self._read_counted(message, size, within_s)
            if await self.read_exactly(2, within_s) != b"\r\n":
                raise MalformedMessageError("no CRLF behind a chunk")
        lines = []
        while line := await self.read_line(within_s):
            lines.append(line)
        message.trailers = parse_fields(lines)

    async def _read_counted(self, message: Message, count: int, within_s: float) -> None:
        try:
            message.body += await self.read_exactly(count, within_s)
        except asyncio.IncompleteReadError as error:
            self.received += error.partial
            message.body += error.partial
            raise

    async def _read_until_close(self, message: Message, within_s: float) -> None:
        while piece := await self.read_some(within_s):
            message.body += piece

    async def read_body(self, message: Message, *, until_close: bool, within_s: float = PATIENCE_S) -> None:
        """Read the body that the head of `message` announces; a cut body leaves `complete` False."""
        head = message.head
        coding, length = head.one("transfer-encoding"), head.one("content-length")
        if coding is not None and length is not None:
            raise MalformedMessageError("Content-Length beside Transfer-Encoding")
        try:
            if coding is not None:
                if coding.lower() != b"chunked":
                    raise MalformedMessageError(f"Transfer-Encoding {coding!r}")
                message.framing = "chunked"
                await self._read_chunks(message, within_s)
            elif length is not None:
                if not re.fullmatch(rb"[0-9]{1,15}", length):
                    raise MalformedMessageError(f"Content-Length {length!r}")
                message.framing = "length"
                await self._read_counted(message, int(length), within_s)
            elif until_close:
                message.framing = "close"
                await self._read_until_close(message, within_s)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        message.complete = True

    async def read_request(self, within_s: float = PATIENCE_S) -> Message:
        """Read one whole request; raise `CutMessageError` when none comes or its body is cut."""
        message = Message(head=await self.read_head(within_s))
        await self.read_body(message, until_close=False, within_s=within_s)
        if not message.complete:
            raise CutMessageError(bytes(self.received), reset=self.was_reset)
        return message

    async def read_answer(self, method: str = "GET", within_s: float = PATIENCE_S) -> Message:
        """Read the final answer to a request of `method`, and the interim ones before it."""
        interim: list[Head] = []
        while True:
            head = await self.read_head(within_s)
            message = Message(head=head, interim=interim)
            if not re.fullmatch(rb"HTTP/1\.[01] [1-5][0-9][0-9]( [\t\x20-\x7e]*)?", head.start_line):
                raise MalformedMessageError(f"status line {head.start_line!r}")
            if message.status >= 200 or message.status == 101:
                break
            interim.append(head)
        if message.status == 101:
            message.framing, message.complete = "tunnel", True
        elif method == "HEAD" or message.status in {204, 304}:
            message.complete = True
        else:
            await self.read_body(message, until_close=True, within_s=within_s)
        return message

    @property
    def was_reset(self) -> bool:
        """True when the connection ended by a reset rather than by a close."""
        return isinstance(self.reader.exception(), ConnectionError)

    async def wait_for_end(self, within_s: float = PATIENCE_S) -> bytes:
        """Wait until the peer closes or resets; return what still came. `TimeoutError` when it does not."""
        rest = bytearray()
        try:
            async with asyncio.timeout(within_s):
                while piece := await self.reader.read(256 * 1024):
                    rest += piece
        except ConnectionError:
            pass
        finally:
            self.received += rest
        return bytes(rest)

    async def stays_silent(self, for_s: float) -> bool:
        """Return True when neither a byte nor the end comes within `for_s`."""
        try:
            await self.read_some(for_s)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        return False

    def half_close(self) -> None:
        """Send FIN and keep reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """End the connection with a RST, whatever is unsent."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Close and wait until the descriptor is gone; never raises for what the peer did."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self.writer.wait_closed()
