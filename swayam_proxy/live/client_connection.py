"""One client's connection: takes requests off it one after another and hands each to its exchange.

Pipelined requests wait unread in the buffer, so that answers keep their order and a client that sends ahead
is held back by its own connection. Knows heads, framing and limits; knows neither backends nor the rules.
"""

import asyncio

from swayam_proxy.live.client_transport import (
    BODY,
    CLOSING,
    DISCARDING,
    LINGERING,
    READING,
    SERVING,
    TUNNELLING,
    ClientTransport,
)
from swayam_proxy.live.exchange import Exchange
from swayam_proxy.live.framing import ChunkedDecoder, FramingError
from swayam_proxy.live.headers import END_OF_HEAD
from swayam_proxy.live.problem import Problem, Refused
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.request_head import check_partial_head
from swayam_proxy.live.request_plan import RequestPlan, RequestPlanner, RequestShape
from swayam_proxy.live.request_side import IDLE
from swayam_proxy.live.shared import Shared

_DISCARDED_BYTES_MAX = 64 * 1024
"""A request that is refused while this little of its body is missing costs the client no connection."""
_IDLE_IN_DRAIN_S = 0.25
_LATE_COMER_S = 1.0
"""A client that was accepted when the drain began may still ask, if it is quick."""


class ClientConnection(ClientTransport):
    """A client, as long as it is connected."""

    exchange_class: type[Exchange] = Exchange

    __slots__ = (
        "_body_left",
        "_checked_bytes",
        "_decoder",
        "_exchange",
        "_is_taking",
        "_keep_alive_s",
        "_known",
        "_latest",
        "_planner",
        "_planners",
        "_shape",
    )

    def __init__(self, shared: Shared, planners: tuple[RequestPlanner, RequestPlanner]) -> None:
        """Serve a client; `planners` are for one that is not trusted, and for one that is."""
        super().__init__(shared)
        self._planners = planners
        self._planner = planners[0]
        self._known = self._planner.known
        self._exchange = self.exchange_class(self, shared)
        self._latest: RequestPlan | None = None
        """Of the latest head that is likely to come again: a client says the same again and again."""
        self._shape: RequestShape | None = None
        """Of the latest head that is not."""
        self._keep_alive_s = shared.timeouts.keep_alive_s
        self._checked_bytes = 0
        """How much of a partial head in `pending` was found to be good so far."""
        self._body_left = 0
        self._decoder: ChunkedDecoder | None = None
        self._is_taking = False

    # -- what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head."""
        super().connection_made(transport)
        shared = self.shared
        shared.connections.add(self)
        self._planner = self._planners[shared.is_trusted(self.peer)]
        self._known = self._planner.known
        patience_s = shared.timeouts.request_head_s
        if shared.draining:
            self.is_plain = False
            patience_s = min(patience_s, _LATE_COMER_S)
        self.deadline = shared.clock() + patience_s

    def data_received(self, data: bytes) -> None:
        """Take what the client sends, or let it wait."""
        state = self.state
        if state == READING:
            if self.pending:
                self._take(self.pending + data)
                return
            # the usual case, the head of before with its whole body, is worth neither a search nor a loop
            plan = self._latest
            if plan is None or not data.startswith(plan.raw):
                shape = self._shape
                plan = None if shape is None else shape.plan_of(data)
            if plan is None:
                self._take(data)
            elif len(data) - plan.raw_bytes == plan.body_bytes:
                self.state = SERVING
                self._exchange.begin(plan, data[plan.raw_bytes :], True)
            else:
                self._begin_unusual(plan, data[plan.raw_bytes :])
                self._take_pending()
        elif state == BODY:
            self._take_body(data)
        elif state == SERVING:
            self.pending += data
            if len(self.pending) >= self.shared.limits.read_ahead_bytes_max:
                self.pause_reading()
        elif state == TUNNELLING:
            self._exchange.take_tunnel_part(data)
        elif state == DISCARDING:
            self._discard(data)

    def eof_received(self) -> bool:
        """The client has ended its side: it may have left, or only be done with asking."""
        state = self.state
        self.eof = True
        self.is_plain = False
        if self.transport.get_extra_info("ssl_object") is not None:
            return False
        if state == SERVING:
            if not self._exchange.status:
                self.ask_whether_it_left()
            self.shared.half_closed.add(self)
            return True
        if state == TUNNELLING:
            self._exchange.client_ended_tunnel()
            return True
        if state == BODY:
            self._exchange.client_left("client_left_in_body")
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The client has left; whatever was done for it ends."""
        self.state = CLOSING
        shared = self.shared
        shared.connections.discard(self)
        shared.half_closed.discard(self)
        self._exchange.client_left()
        shared.on_connection_closed()

    def pause_writing(self) -> None:
        """The client reads more slowly than the backend sends."""
        self.write_paused = True
        self.note_unsent()
        self._exchange.client_paused()

    def resume_writing(self) -> None:
        """The client has read enough."""
        self.write_paused = False
        self._exchange.client_resumed()

    # -- requests --

    def _take(self, data: bytes) -> None:
        """Take requests off `data` until one waits for its answer, or the rest is no whole head."""
        self._is_taking = True
        known = self._known
        turns_left = self.shared.limits.pipelined_requests_max
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
            self._checked_bytes = 0
            if plan.raw:
                self._latest = plan
            elif plan.shape is not None:
                self._shape = plan.shape
            rest = data[end:]
            if len(rest) == plan.body_bytes:
                self.state = SERVING
                self.pending = b""
                self._exchange.begin(plan, rest, True)
            else:
                self._begin_unusual(plan, rest)
            if self.state != READING or not self.pending:
                break
            turns_left -= 1
            if not turns_left:
                self.shared.loop.call_soon(self._take_pending)
                break
            data = self.pending
        self._is_taking = False

    def _read(self, raw: bytes) -> RequestPlan | None:
        try:
            return self._planner.read(raw)
        except Refused as refused:
            self._refuse(Problem.of(refused))
            return None

    def _keep_partial_head(self, data: bytes) -> None:
        shared = self.shared
        if data.startswith(b"\r\n"):
            data = data[2:]
        if not self.pending and data:
            self.deadline = min(self.deadline, shared.clock() + shared.timeouts.request_head_s)
        self.pending = data
        checked_bytes, self._checked_bytes = self._checked_bytes, len(data)
        if self.eof:
            self.close()
            return
        try:
            if data not in (b"", b"\r"):
                check_partial_head(data, shared.limits, checked_bytes)
        except Refused as refused:
            self._refuse(Problem.of(refused))

    def _begin_unusual(self, plan: RequestPlan, rest: bytes) -> None:
        """Begin a request whose body is chunked, not here yet, or followed by something."""
        if plan.chunked and plan.service is not None:
            self._begin_chunked(plan, rest, plan.service.request_body_bytes_max)
            return
        self._decoder = None
        length = plan.content_length
        self._body_left = max(0, length - len(rest))
        self.pending = rest[length:]
        whole = not self._body_left and not plan.chunked
        self.state = SERVING if whole else BODY
        self._exchange.begin(plan, rest[:length], whole)

    def _begin_chunked(self, plan: RequestPlan, rest: bytes, limit_bytes: int) -> None:
        self._decoder = decoder = ChunkedDecoder()
        try:
            part = decoder.feed(rest)
        except FramingError as error:
            self._refuse(Problem(400, "bad_request", str(error)))
            return
        whole = decoder.complete
        self.pending = decoder.rest
        self.state = SERVING if whole else BODY
        if decoder.content_bytes > limit_bytes:
            self._exchange.begin(plan, b"", whole, _too_large(limit_bytes))
        else:
            self._exchange.begin(plan, part, whole)

    def _take_body(self, data: bytes) -> None:
        if self._decoder is None:
            left = self._body_left
            self._body_left = max(0, left - len(data))
            whole = not self._body_left
            if len(data) > left:
                self.pending = data[left:]
                data = data[:left]
        else:
            content = self._decoded(self._decoder, data)
            if content is None:
                return
            data = content
            whole = self._decoder.complete
            self.pending = self._decoder.rest
        if whole:
            self.state = SERVING
        if data or whole:
            self._exchange.take_part(data, whole=whole)

    def _decoded(self, decoder: ChunkedDecoder, data: bytes) -> bytes | None:
        """Return the content in `data`, or None when the request had to be given up."""
        limit_bytes = self._exchange.service.request_body_bytes_max
        try:
            content = decoder.feed(data)
        except FramingError as error:
            self._exchange.client_broke(Problem(400, "bad_request", str(error)))
            return None
        if decoder.content_bytes > limit_bytes:
            self._exchange.client_broke(_too_large(limit_bytes))
            return None
        return content

    def _discard(self, data: bytes) -> None:
        """Throw away the rest of a body whose request was answered without it."""
        left = self._body_left
        self._body_left = max(0, left - len(data))
        if not self._body_left:
            self.state = READING
            self.deadline = self.shared.clock() + self._keep_alive_s
            if len(data) > left:
                self._take(data[left:])

    def _take_pending(self) -> None:
        if self.state == READING and self.pending and not self._is_taking:
            self._take(self.pending)

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read as a request; nothing behind it can be read either."""
        shared = self.shared
        record = RequestRecord(shared.clock())
        record.client = self.peer
        record.code = problem.status
        record.outcome = "bad_request"
        record.reason = problem.reason
        record.request_id = shared.next_request_id()
        shared.requests_count += 1
        self.write(problem.render("", record.request_id, close=True))
        shared.recorder.record(record)
        self.linger()

    # -- what the exchange calls --

    @property
    def is_serving(self) -> bool:
        """Whether a request was begun that has not ended."""
        return self._exchange.phase != IDLE

    @property
    def can_discard(self) -> bool:
        """Whether so little of a body with a length is missing that it can be waited for and thrown away."""
        return self.state == BODY and self._decoder is None and 0 < self._body_left <= _DISCARDED_BYTES_MAX

    def answer_ended(self, now: float, close: bool, read_on: bool) -> None:
        """Go on to the next request, or end; `read_on` when the client is still sending the present one."""
        if self.state == CLOSING:
            return
        if read_on and close:
            self.linger()
        elif read_on:
            self.state = DISCARDING
            self.deadline = now + self.shared.timeouts.request_body_idle_s
            self.resume_reading()
        elif close or self.shared.draining:
            self.close()
        else:
            self.state = READING
            self.deadline = now + self._keep_alive_s
            if self._reading_paused:
                self.resume_reading()
            if self.pending:
                if not self._is_taking:
                    self._take(self.pending)
            elif self.eof:
                self.close()

    def tunnel_began(self) -> None:
        """Pass bytes on from here, beginning with what waits already."""
        self.state = TUNNELLING
        self.resume_reading()
        if self.pending:
            data, self.pending = self.pending, b""
            self._exchange.take_tunnel_part(data)

    # -- what the sweep and the drain call --

    def on_deadline(self, now: float) -> None:
        """Do what is due at `now`, because nothing has happened for too long."""
        state = self.state
        if state == READING:
            if self.pending:
                self._refuse(Problem(408, "request_head_timeout", "the head of the request stopped coming"))
            else:
                self.close()
        elif state in (DISCARDING, LINGERING):
            self.close()
        elif state == CLOSING:
            self.abort()
        else:
            self._exchange.on_deadline(now)

    def look_for_reset(self) -> None:
        """Let a client go that ended its side and turned out to have left."""
        if self.has_left():
            self._exchange.client_left()
            self.abort()

    def drain(self) -> None:
        """Let the present answer be the last; without one, close soon.

        Not at once: a busy client has its next request on the way, and is served better by an answer that
        says that it is the last than by a reset.
        """
        self.is_plain = False
        if self.state == READING and not self.pending:
            self.deadline = min(self.deadline, self.shared.clock() + _IDLE_IN_DRAIN_S)


def _too_large(limit_bytes: int) -> Problem:
    return Problem(413, "body_too_large", f"more than {limit_bytes} bytes of body")
