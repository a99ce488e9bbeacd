"""The way of one request to a backend: admitted, booked, connected, sent. `answer_side` adds the way back.

Knows the rules only by the driver, and its client only by the connection. One object serves a client
connection for as long as that lives, one request at a time: a request costs no task, no timer and no object
beside its ticket.
"""

import asyncio
from typing import TYPE_CHECKING

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Fault, Outcome, Refusal
from swayam_proxy.live.backend_pool import BackendPool, ServiceSide
from swayam_proxy.live.framing import LAST_CHUNK, chunk
from swayam_proxy.live.problem import Problem
from swayam_proxy.live.request_plan import RequestPlan
from swayam_proxy.live.settings import Timeouts
from swayam_proxy.live.shared import Shared
from swayam_proxy.live.upstream import AnswerTaker, UpstreamConnection

if TYPE_CHECKING:
    from swayam_proxy.live.client_connection import ClientConnection

IDLE, QUEUED, CONNECTING, EXPECTING, AWAITING, ANSWERING, TUNNEL = range(7)
"""EXPECTING: the head is sent and the body waits for the backend's 100. AWAITING: for the head of the
answer."""

_EXPECT_LINE = b"Expect: 100-continue\r\n"
_CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestSide(AnswerTaker):
    """One request at a time, from its head to the last byte written to a backend."""

    __slots__ = (
        "answer_tail",
        "attempts",
        "bytes_in",
        "bytes_out",
        "client_shall_close",
        "clock",
        "connect_began",
        "connect_s",
        "connecting",
        "connection",
        "driver",
        "first_byte_at",
        "head_only",
        "held",
        "is_rechunked",
        "is_until_close",
        "kept",
        "phase",
        "plan",
        "pool",
        "received_whole",
        "repeatable",
        "request_id",
        "sent_at",
        "sent_whole",
        "service",
        "shared",
        "started_at",
        "status",
        "ticket",
        "timeouts",
        "total_at",
        "upstream",
        "upstream_is_held",
    )

    def __init__(self, connection: "ClientConnection", shared: Shared) -> None:
        """Serve the requests of `connection`."""
        self.connection = connection
        self.shared = shared
        self.driver = shared.driver
        self.clock = shared.clock
        self.phase = IDLE
        self.plan: RequestPlan
        self.pool: BackendPool
        self.service: ServiceSide
        self.timeouts: Timeouts
        self.ticket: Ticket | None = None
        self.upstream: UpstreamConnection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.kept: bytes | None = None
        """What the backend was sent of the body, as long as it can be sent again: another needs it when this
        one is busy."""
        self.upstream_is_held = False
        """The backend is not read because the client takes nothing."""
        self.head_only = False
        self.sent_whole = False

    # -- what the client connection calls --

    def begin(self, plan: RequestPlan, part: bytes, whole: bool, problem: Problem | None = None) -> None:
        """Take a request; `part` is the beginning of its body's content, all of it if `whole`.

        With a `problem` it is answered with that.
        """
        shared = self.shared
        shared.requests_count += 1
        self.plan = plan
        self.head_only = plan.is_head
        self.held = part
        self.received_whole = whole
        self.sent_whole = False
        self.bytes_in = len(part)
        self.bytes_out = 0
        self.status = 0
        self.attempts = 0
        self.connect_s = 0.0
        self.sent_at = 0.0
        self.first_byte_at = 0.0
        self.repeatable: bytes | None = None
        self.kept = None
        self.is_rechunked = False
        self.is_until_close = False
        self.phase = QUEUED
        if plan.request_id:
            self.request_id = plan.request_id
            self.answer_tail = plan.answer_tail
        else:
            ids = shared.ids
            ids.advance()
            self.request_id = ids.text
            self.answer_tail = ids.head_end
        self.started_at = now = self.clock()
        service = plan.service
        problem = problem or plan.problem
        if problem is not None or service is None:
            assert problem is not None, "a request without a service has its answer"
            self.answer_problem(problem, "bad_request")
            return
        self.service = service
        self.timeouts = service.timeouts
        self.total_at = now + service.timeouts.total_s
        self.admit()

    def admit(self) -> None:
        """Ask the rules for a slot, and use it if there is one."""
        service = self.service
        replayable = self.received_whole or (service.has_sidecars and self._fits_ahead())
        admission = self.driver.admit(service.name, self, self.started_at, self.total_at, replayable)
        if isinstance(admission, Refusal):
            self.refused(admission, "shed")
            return
        self.ticket = admission
        if admission.backend_index:
            self.forward(admission)
        else:
            self.connection.deadline = self.total_at

    def _fits_ahead(self) -> bool:
        """Say whether what the client is still sending can be kept until it is sent for good."""
        bound_bytes = self.shared.limits.read_ahead_bytes_max
        return not self.plan.chunked and self.plan.content_length <= bound_bytes

    def take_part(self, part: bytes, *, whole: bool) -> None:
        """Take the next part of the body's content, the last one if `whole`."""
        self.bytes_in += len(part)
        self.received_whole = whole
        upstream = self.upstream
        if upstream is None or self.held or (self.phase != ANSWERING and upstream.has_news()):
            # nobody to send it to yet; or the backend has just answered or left, which is to be seen first
            self.held += part
            if len(self.held) >= self.shared.limits.read_ahead_bytes_max:
                self.connection.pause_reading()
            return
        self._send_part(upstream, part)

    # -- what the driver calls --

    def forward(self, ticket: Ticket) -> None:
        """Send the request to the backend that is booked for it."""
        self.attempts += 1
        self.sent_at = now = self.clock()
        address = ticket.backend_address
        pools = self.service.pools
        self.pool = pool = pools.get(address) or self.service.pool(address)
        upstream = pool.take(now, idempotent=self.plan.idempotent)
        if upstream is None:
            self._connect(ticket)
        else:
            self._send(upstream, now)

    def reject(self, refusal: Refusal) -> None:
        """Answer the request, which has waited in vain; its ticket has ended."""
        self.ticket = None
        self.refused(refusal, "shed")

    # -- what the pool calls --

    def connected(self, ticket: Ticket, upstream: UpstreamConnection) -> None:
        """Use the connection that was asked for."""
        if ticket is not self.ticket or self.phase != CONNECTING:
            upstream.abort()
            return
        self.connecting = None
        self.sent_at = now = self.clock()
        self.connect_s += now - self.connect_began
        self._send(upstream, now)

    def connect_failed(self, ticket: Ticket, fault: Fault, *, own_fault: bool) -> None:
        """Try another backend: nothing was sent to this one."""
        if ticket is not self.ticket or self.phase != CONNECTING:
            return
        self.connecting = None
        self.connect_s += self.clock() - self.connect_began
        if own_fault:
            self.shared.close_idle_upstreams()
            self.finish(Outcome.UNUSABLE, None)
            self.answer_problem(
                Problem(503, "out_of_descriptors", "this proxy cannot open another connection", 1.0), "shed"
            )
            return
        self.rebook(fault)

    # -- inside --

    def rebook(self, fault: Fault) -> None:
        """Give the request to another backend, within the budget of the rules."""
        assert self.ticket is not None, "only a booked request can be booked again"
        self.phase = QUEUED
        admission = self.driver.rebook(self.ticket, fault)
        if isinstance(admission, Refusal):
            self.keep_booking(self.ticket)
            self.ticket = None
            if fault is Fault.TLS:
                detail = "no backend could prove who it is, or none speaks TLS"
                self.answer_problem(Problem(502, "backend_tls", detail), "upstream_error")
            else:
                self.refused(admission, "retry_exhausted")
        elif admission.backend_index:
            self.forward(admission)
        else:
            self.connection.deadline = self.total_at

    def refused(self, refusal: Refusal, outcome: str) -> None:
        """Answer a request that the rules do not take."""
        self.answer_problem(Problem(503, refusal.reason.value, retry_after_s=refusal.retry_after_s), outcome)

    def _connect(self, ticket: Ticket) -> None:
        self.phase = CONNECTING
        self.connect_began = now = self.clock()
        self.connection.deadline = min(now + self.timeouts.connect_s, self.total_at)
        self.connecting = self.pool.connect(self, ticket)

    def repeat(self, body: bytes) -> None:
        """Send the request once more to the same backend, on a new connection."""
        assert self.ticket is not None, "still booked"
        self.repeatable = None
        self.held = body
        self.sent_whole = False
        self.attempts += 1
        self._connect(self.ticket)

    def _send(self, upstream: UpstreamConnection, now: float) -> None:
        """Write the head and what there is of the body, in one piece."""
        plan, service = self.plan, self.service
        connection = self.connection
        self.upstream = upstream
        upstream.exchange = self
        body = self.held
        self.held = b""
        whole = self.received_whole
        tail = plan.upstream_tail or self.answer_tail
        if service.has_sidecars:
            self.kept = body
            ticket = self.ticket
            if ticket is not None and ticket.grant:
                tail = self.shared.grant_line % ticket.grant + tail
        if whole and not plan.chunked:
            data = b"".join((plan.upstream_head, connection.peer_line, tail, body))
        else:
            data = self._unusual_head(connection.peer_line, tail, body)
        upstream.transport.write(data)
        if whole:
            self.kept = body
            self.sent_whole = True
            self.phase = AWAITING
            if plan.idempotent and upstream.is_reused:
                self.repeatable = body
            deadline = now + self.timeouts.response_head_s
        else:
            deadline = self._await_body(now, expecting=plan.expects_continue and not self.bytes_in)
        connection.deadline = deadline if deadline < self.total_at else self.total_at

    def _unusual_head(self, peer_line: bytes, tail: bytes, body: bytes) -> bytes:
        """Write the head of a request whose body has no known length, or comes later."""
        plan = self.plan
        framing = b""
        if plan.chunked and self.received_whole:
            framing = b"Content-Length: %d\r\n" % len(body)
        elif plan.chunked:
            framing = _CHUNKED_LINE
            body = chunk(body) if body else b""
        if plan.expects_continue and not self.received_whole and not self.bytes_in:
            framing += _EXPECT_LINE
        return b"".join((plan.upstream_head, peer_line, framing, tail, body))

    def _await_body(self, now: float, *, expecting: bool) -> float:
        """Let the client send on, unless the backend is to be asked first; return until when to wait."""
        if expecting:
            self.phase = EXPECTING
            return now + self.timeouts.expect_continue_s
        self.phase = AWAITING
        assert self.upstream is not None, "just set"
        if self.upstream.write_paused:
            self.connection.pause_reading()
            return now + self.timeouts.response_idle_s
        self.connection.resume_reading()
        return now + self.timeouts.request_body_idle_s

    def invite_body(self) -> None:
        """Tell a client that waits for 100 to send its body."""
        self.connection.write(_CONTINUE)
        self.phase = AWAITING
        self.connection.deadline = min(self.clock() + self.timeouts.request_body_idle_s, self.total_at)

    def _send_part(self, upstream: UpstreamConnection, part: bytes) -> None:
        whole = self.received_whole
        if self.kept is not None:
            kept = self.kept + part
            self.kept = kept if len(kept) <= self.shared.limits.read_ahead_bytes_max else None
        if self.plan.chunked:
            part = chunk(part) if part else b""
            if whole:
                part += LAST_CHUNK
        if whole:
            self.sent_whole = True
        if self.phase == EXPECTING:
            self.phase = AWAITING
        if part:
            upstream.transport.write(part)
        if self.upstream is upstream:
            timeouts = self.timeouts
            patience_s = timeouts.request_body_idle_s
            if whole:
                patience_s = timeouts.response_head_s if self.phase == AWAITING else timeouts.response_idle_s
            elif upstream.write_paused:
                patience_s = timeouts.response_idle_s
                self.connection.pause_reading()
            self.connection.deadline = min(self.clock() + patience_s, self.total_at)

    def send_held(self) -> None:
        """Send what was held back while the backend had news."""
        if self.held and self.upstream is not None:
            part, self.held = self.held, b""
            self._send_part(self.upstream, part)
            if not self.received_whole and self.upstream is not None and not self.upstream.write_paused:
                self.connection.resume_reading()

    def upstream_paused(self) -> None:
        """The backend takes no more for now: neither do we."""
        if not self.received_whole or self.phase == TUNNEL:
            self.connection.pause_reading()

    def upstream_resumed(self) -> None:
        """The backend takes more."""
        if self.phase == TUNNEL:
            self.connection.resume_reading()
        elif not self.received_whole and not self.held:
            self.connection.resume_reading()
            self.connection.deadline = min(self.clock() + self.timeouts.request_body_idle_s, self.total_at)

    def finish(self, outcome: Outcome, fault: Fault | None, execution_s: float | None = None) -> None:
        """Free the slot, if one is held."""
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            self.keep_booking(ticket)
            self.driver.finish(ticket, outcome, self.clock(), execution_s, fault)

    # -- given by `answer_side` --

    def keep_booking(self, ticket: Ticket) -> None:
        """Keep for the record what the ticket says."""
        raise NotImplementedError

    def answer_problem(self, problem: Problem, outcome: str) -> None:
        """Answer by ourselves; this ends the request."""
        raise NotImplementedError
