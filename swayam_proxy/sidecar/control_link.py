"""A frontend's control connection, seen from the sidecar: lines in, lines out, silence noticed.

The bytes of section 2 of docs/sidecar-protocol.md; what they mean is the driver's business.
"""

import asyncio
from typing import Protocol, cast

from swayam_proxy.core.control_lines import Line, LineReader, Ping, Pong
from swayam_proxy.core.errors import WireError

SILENCE_S_MAX = 5.0
"""Frontends ping every second; one that says nothing for so long is gone, whatever TCP believes."""
_UNSENT_BYTES_MAX = 256 * 1024
"""A frontend that reads nothing is gone, too."""


class LinkOwner(Protocol):
    """Whoever acts on what frontends say."""

    def link_said(self, link: "ControlLink", line: Line) -> None:
        """Act on a line."""

    def link_closed(self, link: "ControlLink") -> None:
        """The connection has ended."""


class ControlLink(asyncio.Protocol):
    """One control connection."""

    __slots__ = ("_owner", "_reader", "_transport", "frontend", "heard_at", "is_closed")

    def __init__(self, frontend: str, owner: LinkOwner, now: float) -> None:
        """Begin when the connection has been upgraded."""
        self.frontend = frontend
        self.heard_at = now
        self.is_closed = False
        self._owner = owner
        self._reader = LineReader()
        self._transport: asyncio.Transport

    def say(self, line: Line) -> None:
        """Send a line."""
        transport = self._transport
        if self.is_closed or transport.is_closing():
            return
        transport.write(line.line())
        if transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            transport.abort()

    def abort(self) -> None:
        """End the connection."""
        self._transport.abort()

    # -- what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport, which was another protocol's until now."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take lines."""
        try:
            for line in self._reader.feed(data):
                if isinstance(line, Ping):
                    self.say(Pong(line.number))
                self._owner.link_said(self, line)
        except WireError:
            self.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        """The frontend is gone: what it held ends."""
        self.is_closed = True
        self._owner.link_closed(self)
