"""A client's connection as a thing to write to, to hold back and to end; `client_connection` takes requests
off it.

Knows when a client has left, which a half-closed connection does not tell by itself, and how to end without
destroying an answer that is on its way. Knows no HTTP but the first bytes of every answer.
"""

import asyncio
import select
import socket
import struct
from typing import cast

from swayam_proxy.core.vocabulary import NEVER
from swayam_proxy.live.shared import Shared

READING, BODY, SERVING, TUNNELLING, DISCARDING, LINGERING, CLOSING = range(7)
"""READING: for a head. BODY: the present request's body is coming. SERVING: its answer is awaited, later
requests wait. DISCARDING: it was answered already, the little that its body lacks is thrown away. LINGERING:
the last answer is written, what still comes is thrown away. CLOSING: only the last bytes are to be sent."""

_LINGER_S = 0.5
_PROBE = b"HTTP/1.1 "
"""How every answer of ours begins. Sent ahead to a client that has ended its side while its answer is
awaited: one that only ended its side reads on, the system of one that left answers with a reset."""
_TAKEN_BYTES_MIN = 16 * 1024
_GONE = select.POLLHUP | select.POLLERR
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientTransport(asyncio.Protocol):
    """What can be done with a client's connection, whatever it is used for."""

    __slots__ = (
        "_has_begun_answer",
        "_reading_paused",
        "_unsent_bytes",
        "deadline",
        "eof",
        "is_plain",
        "peer",
        "peer_line",
        "pending",
        "shared",
        "state",
        "transport",
        "write_paused",
    )

    def __init__(self, shared: Shared) -> None:
        """Begin unconnected."""
        self.shared = shared
        self.state = READING
        self.pending = b""
        """What has come and was not read as a request yet."""
        self._reading_paused = False
        self._unsent_bytes = 0
        self._has_begun_answer = False
        self.transport: asyncio.Transport
        self.peer = ""
        self.peer_line = b""
        """The end of X-Forwarded-For."""
        self.deadline = NEVER
        """When the sweep shall look at this connection again."""
        self.eof = False
        """The client has ended its side."""
        self.is_plain = not shared.debug_headers
        """Answers need nothing unusual in their heads: no debugging, and nothing forbids the next request."""
        self.write_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is."""
        shared = self.shared
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=shared.limits.read_ahead_bytes_max // 4)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0].removeprefix("::ffff:") if peer else "unknown"
        self.peer_line = self.peer.encode("ascii", "replace") + b"\r\n"

    @property
    def must_close(self) -> bool:
        """Whether the present answer is the last one here."""
        return self.shared.draining or (self.eof and not self.pending)

    # -- to the client --

    def write(self, data: bytes) -> None:
        """Write the head of an answer, without what was sent of it ahead."""
        if self._has_begun_answer:
            self._has_begun_answer = False
            data = data[len(_PROBE) :]
        self.transport.write(data)

    def write_eof(self) -> bool:
        """End our side, if that can be done without ending the other."""
        if not self.transport.can_write_eof():
            return False
        self.transport.write_eof()
        return True

    def note_unsent(self) -> None:
        """Remember how much a client that takes nothing has left in the buffer."""
        self._unsent_bytes = self.transport.get_write_buffer_size()

    def client_takes_something(self, deadline: float) -> bool:
        """Say whether a slow client took enough since it was last looked at; if so it has until
        `deadline`.
        """
        unsent_bytes = self.transport.get_write_buffer_size()
        if self._unsent_bytes - unsent_bytes < _TAKEN_BYTES_MIN:
            return False
        self._unsent_bytes = unsent_bytes
        self.deadline = deadline
        return True

    # -- from the client --

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take more from the client."""
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # -- has it left? --

    def ask_whether_it_left(self) -> None:
        """Find out, by the next sweeps, whether a client that has ended its side still listens."""
        if not self._has_begun_answer:
            self._has_begun_answer = True
            self.transport.write(_PROBE)

    def has_left(self) -> bool:
        """Say whether the client's system has answered with a reset; the loop does not look any more."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)
        return any(happened & _GONE for _, happened in poll.poll(0))

    # -- ends --

    def close(self) -> None:
        """Close when all is sent that was written, but do not wait for that for ever."""
        self.state = CLOSING
        self.deadline = self.shared.clock() + self.shared.timeouts.client_write_idle_s
        self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self.state = CLOSING
        self.deadline = NEVER
        self.transport.abort()

    def reset(self) -> None:
        """Break the connection, so that nobody takes its end for the end of the answer."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def linger(self) -> None:
        """End our side and throw away what still comes: closing now would reset the answer on its way."""
        if not self.write_eof():
            self.close()
            return
        self.state = LINGERING
        self.pending = b""
        self.deadline = self.shared.clock() + _LINGER_S
        self.resume_reading()
