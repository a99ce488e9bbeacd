"""One client connection: sends a request's bytes, recognises the end of its answer.

Knows HTTP framing through httptools and one request at a time. A raw protocol rather than an HTTP client
library, because the generator must not be the slow part: it costs about a tenth of such a client.
"""

import asyncio
import time
from typing import Protocol, cast

import httptools

from _loadtest.records import Ending

_NO_BODY_STATUSES = (204, 304)
_FRAMING_FIELDS = (b"content-length", b"transfer-encoding")
_CHECKSUM_FIELD = b"x-body-crc32"


class ConnectionOwner(Protocol):
    """Who is told how a request ended and that a connection is free or gone."""

    backend_field: bytes

    def answered(self, connection: "Connection", *, reusable: bool) -> None:
        """A whole answer came."""

    def failed(self, connection: "Connection", ending: Ending) -> None:
        """The request will get no answer; the connection is being closed."""

    def strayed(self, connection: "Connection") -> None:
        """Bytes came that nobody asked for; the connection is being closed."""

    def opened(self, connection: "Connection") -> None:
        """The connection stands."""

    def gone(self, connection: "Connection") -> None:
        """An idle connection ended."""


class Connection(asyncio.Protocol):
    """A connection to one target, idle while `row` is negative."""

    __slots__ = (
        "_ends_by_close", "_has_stray", "_is_whole", "_may_reuse", "_owner", "_parser", "backend", "checksum",
        "first_at", "is_closed", "row", "status", "target_number", "transport",
    )  # fmt: skip

    def __init__(self, owner: ConnectionOwner, target_number: int) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._ends_by_close = True
        self._is_whole = self._may_reuse = self._has_stray = False
        self.target_number = target_number
        self.transport: asyncio.Transport | None = None
        self.is_closed = False
        self.row = -1
        self.status = 0
        self.first_at = 0.0
        self.backend = b""
        self.checksum = b""

    def send(self, row: int, request: bytes) -> None:
        """Send the request of a row; only while idle."""
        assert self.transport is not None
        self.row = row
        self.status = 0
        self.first_at = 0.0
        self.backend = self.checksum = b""
        self._ends_by_close = True
        self._is_whole = self._has_stray = False
        self.transport.write(request)

    def close(self) -> None:
        """End the connection; it is never used again."""
        self.is_closed = True
        if self.transport is not None:
            self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self._owner.opened(self)

    def data_received(self, received: bytes) -> None:
        """Parse what came, then tell the owner: never from within the parser, which may hold more bytes."""
        if self.row < 0:
            self._owner.strayed(self)
            return
        try:
            self._parser.feed_data(received)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._is_whole:
                self._owner.failed(self, Ending.MALFORMED)
                return
            self._has_stray = True
        if self._is_whole:
            has_stray = self._has_stray
            self._owner.answered(self, reusable=self._may_reuse and not has_stray)
            if has_stray:
                self._owner.strayed(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Settle the request that was running: only an answer framed by the close is whole."""
        self.is_closed = True
        if self.row < 0:
            self._owner.gone(self)
        elif error is None and self.status and self._ends_by_close:
            self._owner.answered(self, reusable=False)
        else:
            self._owner.failed(self, Ending.INCOMPLETE if self.status else Ending.RESET)

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Notice an answer behind the one that was asked for."""
        if self._is_whole:
            self._has_stray = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Pick the few fields that matter."""
        if self._is_whole:
            return
        lower = name.lower()
        if lower in _FRAMING_FIELDS:
            self._ends_by_close = False
        elif lower == _CHECKSUM_FIELD:
            self.checksum = value
        if lower == self._owner.backend_field:
            self.backend = value

    def on_headers_complete(self) -> None:
        """Keep the status."""
        if self._is_whole:
            return
        self.status = self._parser.get_status_code()
        if self.status in _NO_BODY_STATUSES:
            self._ends_by_close = False

    def on_body(self, _: bytes) -> None:
        """Take the time of the first byte of the body."""
        if self.first_at == 0.0:
            self.first_at = time.monotonic()

    def on_message_complete(self) -> None:
        """Note that the answer is whole, or that an interim one has passed."""
        if 100 <= self.status < 200:
            self.status = 0
            self._ends_by_close = True
        elif not self._is_whole:
            self._is_whole = True
            self._may_reuse = self._parser.should_keep_alive()
