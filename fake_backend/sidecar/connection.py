"""One control connection: bytes to lines and back, over a transport taken over from the HTTP server.

Knows the transport; what the lines mean is the listener's business.
"""

import asyncio
from collections.abc import Callable

from fake_backend.sidecar.lines import LINE_BYTES_MAX, LineError, Wish, parse_line

_UNSENT_BYTES_MAX = 1024 * 1024


class ControlConnection(asyncio.Protocol):
    """A frontend's lines; `on_wish` gets each that can be read, `on_end` the end, once."""

    def __init__(
        self,
        frontend: str,
        *,
        on_wish: Callable[["ControlConnection", Wish], None],
        on_end: Callable[["ControlConnection"], None],
    ) -> None:
        self.frontend = frontend
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_wish = on_wish
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._previous: asyncio.BaseProtocol | None = None
        self._unread = b""
        self.heard_count = 0
        """How often something came."""

    def take_over(self, transport: asyncio.Transport, head: bytes) -> None:
        """Answer the upgrade and read lines from now on; the protocol that did so far hears of the end."""
        self._previous = transport.get_protocol()
        self._transport = transport
        transport.set_protocol(self)
        transport.write(head)

    def send(self, line: bytes) -> None:
        """Send a line; a frontend that does not read ends its connection instead of filling the memory."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(line)
        if self._transport.get_write_buffer_size() > _UNSENT_BYTES_MAX:
            self._transport.abort()

    def close(self) -> None:
        """End the connection and tell it at once; later calls do nothing."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
            self._on_end(self)

    def data_received(self, data: bytes) -> None:
        """Read whole lines; end the connection at the first that cannot be read."""
        self.heard_count += 1
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            try:
                wish = parse_line(line)
            except LineError:
                self.close()
            else:
                if wish is not None:
                    self._on_wish(self, wish)
            if self._transport is None:
                return
        if len(self._unread) > LINE_BYTES_MAX:
            self.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the HTTP server know, too, which ends the handler that waits for this."""
        self.close()
        if self._previous is not None:
            self._previous.connection_lost(exc if isinstance(exc, Exception) else None)
            self._previous = None
        if not self.ended.done():
            self.ended.set_result(None)
