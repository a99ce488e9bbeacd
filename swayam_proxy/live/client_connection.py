"""One client's connection: takes requests off it one after another and hands each to its exchange.

Pipelined requests wait unread in the buffer, so that answers keep their order and a client that sends ahead
is held back by its own connection. Knows heads, framing and limits; knows neither backends nor the rules.
"""

import asyncio
import select
import socket
import struct
from typing import cast

from swayam_proxy.core.vocabulary import NEVER
from swayam_proxy.live.exchange import Exchange
from swayam_proxy.live.framing import ChunkedDecoder, FramingError
from swayam_proxy.live.headers import END_OF_HEAD
from swayam_proxy.live.problem import Problem, Refused
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.request_head import check_partial_head
from swayam_proxy.live.request_plan import RequestPlan, RequestPlanner
from swayam_proxy.live.request_side import IDLE
from swayam_proxy.live.shared import Shared

READING, BODY, SERVING, TUNNELLING, LINGERING, CLOSING = range(6)
"""READING: for a head. BODY: the present request's body is coming. SERVING: its answer is awaited, later
requests wait. LINGERING: the last answer is written, what still comes is thrown away. CLOSING: only the last
bytes are to be sent."""

_LINGER_S = 0.5
_CROSSING_S = 0.05
_FIRST_REQUEST_S = 0.5
_PROBE = b"HTTP/1.1 "
"""How every answer of ours begins. Sent ahead to a client that has ended its side while its answer is
awaited: one that only ended its side reads on, the system of one that left answers with a reset."""
_TAKEN_BYTES_MIN = 16 * 1024
_GONE = select.POLLHUP | select.POLLERR
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """A client, as long as it is connected."""

    __slots__ = (
        "_body_left",
        "_decoder",
        "_exchange",
        "_is_taking",
        "_pending",
        "_planners",
        "_reading_paused",
        "_shared",
        "_state",
        "_unsent_bytes",
        "deadline",
        "eof",
        "has_begun_answer",
        "is_plain",
        "peer",
        "peer_line",
        "planner",
        "transport",
        "write_paused",
    )

    def __init__(self, shared: Shared, planners: tuple[RequestPlanner, RequestPlanner]) -> None:
        """Serve a client; `planners` are for one that is not trusted, and for one that is."""
        self._shared = shared
        self._planners = planners
        self._exchange = Exchange(self, shared)
        self._state = READING
        self._pending = b""
        self._body_left = 0
        self._decoder: ChunkedDecoder | None = None
        self._is_taking = False
        self._reading_paused = False
        self._unsent_bytes = 0
        self.transport: asyncio.Transport
        self.planner = planners[0]
        self.peer = ""
        self.peer_line = b""
        """The end of X-Forwarded-For."""
        self.deadline = NEVER
        """When the sweep shall look at this connection again."""
        self.eof = False
        self.has_begun_answer = False
        """The first bytes of the answer were sent ahead."""
        self.is_plain = True
        """Nothing forbids another request behind the present one."""
        self.write_paused = False

    # -- what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is, and wait for a head."""
        shared = self._shared
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=shared.limits.read_ahead_bytes_max // 4)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0].removeprefix("::ffff:") if peer else "unknown"
        self.peer_line = self.peer.encode("ascii", "replace") + b"\r\n"
        self.planner = self._planners[shared.is_trusted(self.peer)]
        self.deadline = shared.clock() + shared.timeouts.request_head_s
        shared.connections.add(self)
        if shared.draining:
            # it came just before the listener closed: its first request is served, and is its last
            self.deadline = shared.clock() + _FIRST_REQUEST_S

    def data_received(self, data: bytes) -> None:
        """Take what the client sends, or let it wait."""
        state = self._state
        if state == READING:
            if self._pending:
                data = self._pending + data
            self._take(data)
        elif state == BODY:
            self._take_body(data)
        elif state == SERVING:
            self._pending += data
            if len(self._pending) >= self._shared.limits.read_ahead_bytes_max:
                self.pause_reading()
        elif state == TUNNELLING:
            self._exchange.take_tunnel_part(data)

    def eof_received(self) -> bool:
        """The client has ended its side: it may have left, or only be done with asking."""
        state = self._state
        self.eof = True
        self.is_plain = False
        if self.transport.get_extra_info("ssl_object") is not None:
            return False
        if state == SERVING:
            if not self._exchange.status and not self.has_begun_answer:
                self.transport.write(_PROBE)
                self.has_begun_answer = True
            self._shared.half_closed.add(self)
            return True
        if state == TUNNELLING:
            self._exchange.client_ended_tunnel()
            return True
        if state == BODY:
            self._exchange.client_left("client_left_in_body")
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client has left; whatever was done for it ends."""
        self._state = CLOSING
        self.deadline = NEVER
        shared = self._shared
        shared.connections.discard(self)
        shared.half_closed.discard(self)
        self._exchange.client_left()
        shared.on_connection_closed()

    def pause_writing(self) -> None:
        """The client reads more slowly than the backend sends."""
        self.write_paused = True
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._exchange.client_paused()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self.write_paused = False
        self._exchange.client_resumed()

    # -- requests --

    def _take(self, data: bytes) -> None:
        """Take requests off `data` until one has to wait for its answer, or the rest is no whole head."""
        self._is_taking = True
        known = self.planner.known
        turns_left = self._shared.limits.pipelined_requests_max
        while True:
            end = data.find(END_OF_HEAD) + 4
            if end == 3:
                self._keep_partial_head(data)
                break
            plan = known.get(data[:end])
            if plan is None:
                if data.startswith(b"\r\n"):
                    # RFC 9112 2.2: an empty line before a request is forgiven
                    data = data[2:]
                    continue
                plan = self._read(data[:end])
                if plan is None:
                    break
            rest = data[end:]
            length = plan.content_length
            if len(rest) == length and not plan.chunked:
                self._state = SERVING
                self._pending = b""
                self._exchange.begin(plan, rest, whole=True)
            else:
                self._begin_unusual(plan, rest)
            if self._state != READING or not self._pending:
                break
            turns_left -= 1
            if not turns_left:
                self._shared.loop.call_soon(self._take_pending)
                break
            data = self._pending
        self._is_taking = False

    def _begin_unusual(self, plan: RequestPlan, rest: bytes) -> None:
        """Begin a request whose body is chunked, not here yet, or followed by something."""
        if plan.chunked and plan.service is not None:
            self._decoder = decoder = ChunkedDecoder()
            try:
                part = decoder.feed(rest)
            except FramingError as error:
                self._refuse(Problem(400, "bad_request", str(error)))
                return
            self._pending = decoder.rest
            self._state = SERVING if decoder.complete else BODY
            if decoder.content_bytes > plan.service.request_body_bytes_max:
                problem = _too_large(plan.service.request_body_bytes_max)
                self._exchange.begin(plan, b"", whole=decoder.complete, problem=problem)
            else:
                self._exchange.begin(plan, part, whole=decoder.complete)
            return
        self._decoder = None
        length = plan.content_length
        self._body_left = max(0, length - len(rest))
        self._pending = rest[length:]
        whole = not self._body_left and not plan.chunked
        self._state = SERVING if whole else BODY
        self._exchange.begin(plan, rest[:length], whole=whole)

    def _read(self, raw: bytes) -> RequestPlan | None:
        try:
            return self.planner.read(raw)
        except Refused as refused:
            self._refuse(Problem.of(refused))
            return None

    def _keep_partial_head(self, data: bytes) -> None:
        shared = self._shared
        if data.startswith(b"\r\n"):
            data = data[2:]
        if not self._pending and data:
            self.deadline = min(self.deadline, shared.clock() + shared.timeouts.request_head_s)
        self._pending = data
        if self.eof:
            self.close()
            return
        try:
            if data not in (b"", b"\r"):
                check_partial_head(data, shared.limits)
        except Refused as refused:
            self._refuse(Problem.of(refused))

    def _take_body(self, data: bytes) -> None:
        decoder = self._decoder
        if decoder is None:
            left = self._body_left
            self._body_left = max(0, left - len(data))
            whole = not self._body_left
            if len(data) > left:
                self._pending = data[left:]
                data = data[:left]
        else:
            limit = self._exchange.service.request_body_bytes_max
            try:
                data = decoder.feed(data)
            except FramingError as error:
                self._exchange.client_broke(Problem(400, "bad_request", str(error)))
                return
            if decoder.content_bytes > limit:
                self._exchange.client_broke(_too_large(limit))
                return
            whole = decoder.complete
            self._pending = decoder.rest
        if whole:
            self._state = SERVING
        if data or whole:
            self._exchange.take_part(data, whole=whole)

    def _take_pending(self) -> None:
        if self._state == READING and self._pending and not self._is_taking:
            self._take(self._pending)

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read as a request; nothing behind it can be read either."""
        shared = self._shared
        record = RequestRecord(shared.clock())
        record.client = self.peer
        record.code = problem.status
        record.outcome = "bad_request"
        record.reason = problem.reason
        record.request_id = shared.next_request_id()
        shared.requests_count += 1
        self.write(problem.render("", record.request_id, close=True))
        shared.recorder.record(record)
        self._linger()

    # -- what the exchange calls --

    def write(self, data: bytes) -> None:
        """Write the head of an answer, without what was sent of it ahead."""
        if self.has_begun_answer:
            self.has_begun_answer = False
            data = data[len(_PROBE) :]
        self.transport.write(data)

    @property
    def must_close(self) -> bool:
        """Whether the present answer is the last one here."""
        return self._shared.draining or (self.eof and not self._pending)

    @property
    def is_serving(self) -> bool:
        """Whether a request was begun that has not ended."""
        return self._exchange.phase != IDLE

    def answer_ended(self, *, close: bool, read_on: bool) -> None:
        """Go on to the next request, or end; `read_on` when the client is still sending the present one."""
        if self._state == CLOSING:
            return
        if read_on:
            self._linger()
        elif close:
            self.close()
        else:
            self._state = READING
            self.deadline = self._shared.clock() + self._shared.timeouts.keep_alive_s
            if self._reading_paused:
                self.resume_reading()
            if self._pending:
                if not self._is_taking:
                    self._take(self._pending)
            elif self.eof:
                self.close()

    def tunnel_began(self) -> None:
        """Pass bytes on from here, beginning with what waits already."""
        self._state = TUNNELLING
        if self._reading_paused:
            self.resume_reading()
        if self._pending:
            data, self._pending = self._pending, b""
            self._exchange.take_tunnel_part(data)

    def write_eof(self) -> bool:
        """End our side, if that can be done without ending the other."""
        if not self.transport.can_write_eof():
            return False
        self.transport.write_eof()
        return True

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

    def client_takes_something(self, deadline: float) -> bool:
        """Say whether a slow client has taken enough since it was last looked at, and give it more time if
        so.
        """
        unsent_bytes = self.transport.get_write_buffer_size()
        if self._unsent_bytes - unsent_bytes < _TAKEN_BYTES_MIN:
            return False
        self._unsent_bytes = unsent_bytes
        self.deadline = deadline
        return True

    # -- ends --

    def on_deadline(self, now: float) -> None:
        """Do what is due at `now`, because nothing has happened for too long."""
        state = self._state
        if state == READING:
            if self._pending:
                self._refuse(Problem(408, "request_head_timeout", "the head of the request stopped coming"))
            else:
                self.close()
        elif state == LINGERING:
            self.close()
        elif state == CLOSING:
            self.abort()
        else:
            self._exchange.on_deadline(now)

    def look_for_reset(self) -> None:
        """Let a client go that ended its side and turned out to have left."""
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), 0)
        if any(happened & _GONE for _, happened in poll.poll(0)):
            self._exchange.client_left()
            self.abort()

    def drain(self) -> None:
        """Let the present answer be the last; close soon when there is none.

        Not at once: a request that crosses our end on its way is still served.
        """
        self.is_plain = False
        if self._state == READING and not self._pending:
            self.deadline = self._shared.clock() + _CROSSING_S

    def close(self) -> None:
        """Close when all is sent that was written, but do not wait for that for ever."""
        self._state = CLOSING
        self.deadline = self._shared.clock() + self._shared.timeouts.client_write_idle_s
        self.transport.close()

    def abort(self) -> None:
        """Close now."""
        self._state = CLOSING
        self.deadline = NEVER
        self.transport.abort()

    def reset(self) -> None:
        """Break the connection, so that nobody takes its end for the end of the answer."""
        linger = self.transport.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def _linger(self) -> None:
        """End our side and throw away what still comes: closing now would reset the answer on its way."""
        if not self.write_eof():
            self.close()
            return
        self._state = LINGERING
        self._pending = b""
        self.deadline = self._shared.clock() + _LINGER_S
        self.resume_reading()


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"more than {limit_bytes} bytes of body")
