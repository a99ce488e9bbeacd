"""One connection to a backend: takes the answer apart by its framing and tells its exchange, part by part.

Strict: what is not exactly one answer to the request that was sent ends the connection. Knows neither clients
nor rules; a connection without an exchange is idle, and whatever comes in on it is unasked for.
"""

import asyncio
import select
from typing import Protocol, cast

from swayam_proxy.core.vocabulary import Fault
from swayam_proxy.live.framing import ChunkedDecoder, FramingError
from swayam_proxy.live.headers import END_OF_HEAD
from swayam_proxy.live.response_head import UNKNOWN, MalformedResponseError, check_partial_response
from swayam_proxy.live.response_plan import ResponsePlan, ResponsePlanner, ResponseShape
from swayam_proxy.live.settings import Limits

HEAD, LENGTH, CHUNKED, UNTIL_CLOSE, TUNNEL, DONE = range(6)
"""What is expected next. DONE: the answer has ended, or the connection has."""

_INTERIMS_MAX = 16
_COMING_IN = select.POLLIN | getattr(select, "POLLRDHUP", 0)


class AnswerTaker(Protocol):
    """Whoever waits for the answer."""

    __slots__ = ()

    head_only: bool
    """The request was a HEAD: its answer has no body, whatever its fields say."""
    sent_whole: bool
    """The backend was sent the whole request."""

    def whole_answer(self, upstream: "UpstreamConnection", plan: ResponsePlan, body: bytes) -> None:
        """Take an answer that came at once; the connection is the taker's to give back."""

    def answer_began(self, plan: ResponsePlan, part: bytes, *, has_body: bool) -> None:
        """Take the head and the first part of the body, which may be empty."""

    def answer_part(self, part: bytes) -> None:
        """Take the next part of the body."""

    def answer_ended(self, upstream: "UpstreamConnection", plan: ResponsePlan, *, reusable: bool) -> None:
        """The body is complete; the connection is the taker's to give back if `reusable`."""

    def interim(self, plan: ResponsePlan) -> None:
        """Take a 1xx answer other than 101."""

    def upgraded(self, plan: ResponsePlan, part: bytes) -> None:
        """Take a 101; `part` is what followed it, and all that follows is passed as it comes."""

    def tunnel_part(self, part: bytes) -> None:
        """Take what the backend says in a tunnel."""

    def tunnel_ended(self) -> None:
        """The backend has said its last in a tunnel."""

    def upstream_failed(self, fault: Fault, reason: str, detail: str) -> None:
        """The connection is gone and the answer incomplete, or there is none."""

    def upstream_paused(self) -> None:
        """The backend takes no more bytes for now."""

    def upstream_resumed(self) -> None:
        """The backend takes bytes again."""


class Keeper(Protocol):
    """Whoever keeps connections that nobody uses."""

    def closed_while_idle(self, upstream: "UpstreamConnection") -> None:
        """Forget a connection that the backend closed."""

    def spoke_unasked(self, upstream: "UpstreamConnection") -> None:
        """Forget a connection on which bytes came that nobody had asked for."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to one backend."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_interims_count",
        "_is_tls",
        "_keeper",
        "_latest",
        "_left",
        "_limits",
        "_mode",
        "_plan",
        "_planner",
        "_poll",
        "_shape",
        "exchange",
        "freed_at",
        "has_ended",
        "idle_until",
        "is_reused",
        "transport",
        "write_paused",
    )

    def __init__(
        self,
        planner: ResponsePlanner,
        limits: Limits,
        keeper: Keeper,
    ) -> None:
        """Begin unconnected."""
        self._planner = planner
        self._limits = limits
        self._keeper = keeper
        self.exchange: AnswerTaker | None = None
        self.transport: asyncio.Transport
        self._mode = HEAD
        self._buffer = b""
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._plan: ResponsePlan | None = None
        self._latest: ResponsePlan | None = None
        """Of the latest head that is likely to come again."""
        self._shape: ResponseShape | None = None
        """Of the latest head that is not."""
        self._interims_count = 0
        self._is_tls = False
        self._poll = select.poll()
        self.is_reused = False
        """It has carried an answer before."""
        self.freed_at = 0.0
        self.idle_until = 0.0
        self.write_paused = False
        self.has_ended = False
        """The backend has ended its side of a tunnel."""

    # -- what its owner does --

    def is_quiet(self) -> bool:
        """Say whether the connection is open and nothing has come in that was not read yet."""
        return self._mode == HEAD and not self._poll.poll(0)

    def has_news(self) -> bool:
        """Say whether bytes or an end have come in that the loop has not read yet; TLS cannot tell."""
        return not self._is_tls and bool(self._poll.poll(0))

    @property
    def has_answered(self) -> bool:
        """Whether any byte of an answer to the present request has come."""
        return bool(self._buffer) or self._interims_count > 0

    def abort(self) -> None:
        """Close at once and say nothing more to the exchange."""
        self.exchange = None
        self._mode = DONE
        self.transport.abort()

    def fail(self, fault: Fault, reason: str, detail: str) -> None:
        """Give up: whatever is wrong, the connection has no further use."""
        exchange = self.exchange
        self.abort()
        if exchange is not None:
            exchange.upstream_failed(fault, reason, detail)

    # -- what the loop calls --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport and limit what it buffers."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=self._limits.read_ahead_bytes_max // 4)
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        self._poll.register(transport.get_extra_info("socket").fileno(), _COMING_IN)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes of an answer."""
        exchange = self.exchange
        if exchange is None:
            self.abort()
            self._keeper.spoke_unasked(self)
        elif self._mode == HEAD:
            # the usual case, the head of before with its whole body, is not worth a search
            plan = self._latest
            if plan is None or not data.startswith(plan.raw):
                shape = self._shape
                plan = None if shape is None else shape.plan_of(data)
            if (
                plan is not None
                and len(data) - plan.raw_bytes == plan.whole_bytes
                and not self._buffer
                and not self._interims_count
                and exchange.sent_whole
                and not exchange.head_only
            ):
                self.exchange = None
                exchange.whole_answer(self, plan, data[plan.raw_bytes :])
            else:
                self._take_head(exchange, data)
        elif self._mode == TUNNEL:
            exchange.tunnel_part(data)
        else:
            self._take_body(exchange, data)

    def eof_received(self) -> bool:
        """The backend has ended its side: the end of a body that has no other, or a cut."""
        exchange = self.exchange
        if exchange is None:
            self._closed_while_idle()
            return False
        if self._mode == TUNNEL:
            self.has_ended = True
            exchange.tunnel_ended()
            return not self._is_tls
        if self._mode == UNTIL_CLOSE:
            self._end(exchange, reusable=False)
        else:
            self.fail(
                Fault.RESET, "backend_reset", "the backend closed the connection before its answer ended"
            )
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        """The connection is gone; a body that only its end would have ended is cut."""
        if self.exchange is not None:
            self.fail(Fault.RESET, "backend_reset", "the connection to the backend broke")
        else:
            self._closed_while_idle()

    def pause_writing(self) -> None:
        """The backend reads more slowly than the client sends."""
        self.write_paused = True
        if self.exchange is not None:
            self.exchange.upstream_paused()

    def resume_writing(self) -> None:
        """The backend has read enough."""
        self.write_paused = False
        if self.exchange is not None:
            self.exchange.upstream_resumed()

    # -- the answer --

    def _take_head(self, exchange: AnswerTaker, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(END_OF_HEAD) + 4
        if end == 3:
            self._keep_partial_head(data)
            return
        raw = data[:end]
        plan = self._planner.known.get(raw)
        if plan is None:
            try:
                plan = self._planner.read(raw)
            except MalformedResponseError as error:
                self.fail(Fault.MALFORMED, "backend_malformed", str(error))
                return
        self._buffer = b""
        if plan.raw:
            self._latest = plan
        elif plan.shape is not None:
            self._shape = plan.shape
        if len(data) - end == plan.whole_bytes and exchange.sent_whole and not exchange.head_only:
            self.exchange = None
            self._interims_count = 0
            exchange.whole_answer(self, plan, data[end:])
        elif plan.status < 200:
            self._take_interim(exchange, plan, data[end:])
        else:
            self._begin_answer(exchange, plan, data[end:])

    def _keep_partial_head(self, data: bytes) -> None:
        checked_bytes, self._buffer = len(self._buffer), data
        try:
            check_partial_response(data, self._limits, checked_bytes)
        except MalformedResponseError as error:
            self.fail(Fault.MALFORMED, "backend_malformed", str(error))

    def _take_interim(self, exchange: AnswerTaker, plan: ResponsePlan, rest: bytes) -> None:
        if plan.status == 101:
            self._mode = TUNNEL
            exchange.upgraded(plan, rest)
            return
        self._interims_count += 1
        if self._interims_count > _INTERIMS_MAX:
            self.fail(Fault.MALFORMED, "backend_malformed", "more interim answers than anybody needs")
            return
        exchange.interim(plan)
        if rest and self.exchange is not None:
            self._take_head(exchange, rest)

    def _begin_answer(self, exchange: AnswerTaker, plan: ResponsePlan, rest: bytes) -> None:
        self._plan = plan
        self._interims_count = 0
        if plan.bodiless or exchange.head_only or plan.content_length == 0:
            exchange.answer_began(plan, b"", has_body=False)
            if self.exchange is not None:
                self._end(exchange, reusable=not rest and plan.keep_alive)
            return
        if plan.chunked:
            self._mode = CHUNKED
            self._decoder = ChunkedDecoder()
        elif plan.content_length == UNKNOWN:
            self._mode = UNTIL_CLOSE
        else:
            self._mode = LENGTH
            self._left = plan.content_length
        if plan.chunked and rest:
            self._begin_chunked(exchange, plan, rest)
            return
        part = rest
        if self._mode == LENGTH:
            part = rest[: self._left]
            self._left -= len(part)
        exchange.answer_began(plan, part, has_body=True)
        if self._mode == LENGTH and not self._left and self.exchange is not None:
            self._end(exchange, reusable=len(rest) == len(part) and plan.keep_alive)

    def _begin_chunked(self, exchange: AnswerTaker, plan: ResponsePlan, rest: bytes) -> None:
        """Read the chunks that came with the head before the head is passed on: a 502 is still possible."""
        assert self._decoder is not None, "made by the caller"
        try:
            part = self._decoder.feed(rest)
        except FramingError as error:
            self.fail(Fault.MALFORMED, "backend_malformed", str(error))
            return
        exchange.answer_began(plan, part, has_body=True)
        if self._decoder.complete and self.exchange is not None:
            self._end(exchange, reusable=not self._decoder.rest and plan.keep_alive)

    def _take_body(self, exchange: AnswerTaker, data: bytes) -> None:
        mode = self._mode
        reusable = False
        ended = False
        if mode == LENGTH:
            left = self._left
            ended = len(data) >= left
            reusable = len(data) == left
            if len(data) > left:
                data = data[:left]
            self._left = left - len(data)
        elif mode == CHUNKED:
            assert self._decoder is not None, "made with the head"
            try:
                data = self._decoder.feed(data)
            except FramingError as error:
                self.fail(Fault.MALFORMED, "backend_malformed", str(error))
                return
            ended = self._decoder.complete
            reusable = not self._decoder.rest
        elif mode == DONE:
            return
        if data:
            exchange.answer_part(data)
        if ended and self.exchange is not None:
            assert self._plan is not None, "kept with the head"
            self._end(exchange, reusable=reusable and self._plan.keep_alive)

    def _end(self, exchange: AnswerTaker, *, reusable: bool) -> None:
        plan = self._plan
        assert plan is not None, "kept with the head"
        self.exchange = None
        self._plan = None
        self._decoder = None
        self._mode = HEAD if reusable else DONE
        exchange.answer_ended(self, plan, reusable=reusable)

    def _closed_while_idle(self) -> None:
        if self._mode == HEAD:
            self._mode = DONE
            self._keeper.closed_while_idle(self)
