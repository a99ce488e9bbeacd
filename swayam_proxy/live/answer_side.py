"""The way back: from the first byte of a backend's answer, or from an answer of our own, to the end of the
request.

An answer that the backend cut short never looks complete to the client. Every way of ending goes through
`_ended`, which hands the record over once.
"""

from typing import TYPE_CHECKING

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Fault, Outcome, Refusal, RefusalReason
from swayam_proxy.live.framing import LAST_CHUNK, chunk
from swayam_proxy.live.problem import Problem
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.request_side import ANSWERING, EXPECTING, IDLE, QUEUED, TUNNEL, RequestSide
from swayam_proxy.live.response_head import UNKNOWN
from swayam_proxy.live.response_plan import ResponsePlan
from swayam_proxy.live.shared import Shared
from swayam_proxy.live.upstream import UpstreamConnection

if TYPE_CHECKING:
    from swayam_proxy.live.client_connection import ClientConnection

_CHUNKED_LINE = b"Transfer-Encoding: chunked\r\n"
_CLOSE_LINE = b"Connection: close\r\n"
_KEEP_ALIVE_LINE = b"Connection: keep-alive\r\n"
_CLIENT_LEFT = 499
_TOO_SLOW = (408, 504)
_SERVED, _FAILED = Outcome.SERVED, Outcome.FAILED
"""To look a member up costs as much as a call."""


class AnswerSide(RequestSide):
    """Passes the answer on and ends the request."""

    __slots__ = ("_booking",)

    def __init__(self, connection: "ClientConnection", shared: Shared) -> None:
        """Serve the requests of `connection`."""
        super().__init__(connection, shared)
        self._booking: Ticket | None = None

    # -- what the upstream connection calls --

    def whole_answer(self, upstream: UpstreamConnection, plan: ResponsePlan, body: bytes) -> None:
        """Pass on an answer that came at once, to a request that was sent at once."""
        connection = self.connection
        self.first_byte_at = now = self.clock()
        self.upstream = None
        if plan.busy:
            if plan.keep_alive:
                self.pool.give_back(upstream, plan.keep_alive_s, now)
            else:
                upstream.abort()
            self.backend_busy()
            return
        self.status = plan.status
        self.bytes_out = len(body)
        if connection.is_plain and self.plan.keep_alive and self.plan.minor:
            close = False
            connection.transport.write(b"".join((plan.client_head, self.answer_tail, body)))
        else:
            close = self._must_close()
            connection.write(b"".join((plan.client_head, self._tail(close=close), body)))
        if plan.keep_alive:
            self.pool.give_back(upstream, plan.keep_alive_s, now)
        else:
            upstream.abort()
        self._answered(plan, now, close)

    def answer_began(self, plan: ResponsePlan, part: bytes, *, has_body: bool) -> None:
        """Pass on the head and the first part of the body, framed anew."""
        if plan.busy:
            # what of the request is on its way cannot be stopped: the connection has no further use
            self._drop_upstream()
            self.backend_busy()
            return
        self.kept = None
        self.phase = ANSWERING
        self.status = plan.status
        self.first_byte_at = now = self.clock()
        close = self._must_close()
        framing = b""
        if has_body and plan.content_length == UNKNOWN:
            if self.plan.minor:
                self.is_rechunked = True
                framing = _CHUNKED_LINE
            else:
                close = self.is_until_close = True
        self.client_shall_close = close
        self.bytes_out = len(part)
        if part and self.is_rechunked:
            part = chunk(part)
        self.connection.deadline = min(now + self.timeouts.response_idle_s, self.total_at)
        self.connection.write(b"".join((plan.client_head, framing, self._tail(close=close), part)))
        if self.connection.write_paused:
            # maybe since an earlier answer, in which case nobody has told us
            self.client_paused()
        self.send_held()

    def answer_part(self, part: bytes) -> None:
        """Pass on the next part of the body."""
        self.bytes_out += len(part)
        if self.is_rechunked:
            part = chunk(part)
        connection = self.connection
        if not connection.write_paused:
            connection.deadline = min(self.clock() + self.timeouts.response_idle_s, self.total_at)
        connection.transport.write(part)

    def answer_ended(self, upstream: UpstreamConnection, plan: ResponsePlan, *, reusable: bool) -> None:
        """End a body whose parts were passed on."""
        self.upstream = None
        now = self.clock()
        if self.is_rechunked:
            self.connection.transport.write(LAST_CHUNK)
        if reusable and self.sent_whole:
            if self.upstream_is_held:
                upstream.transport.resume_reading()
            self.pool.give_back(upstream, plan.keep_alive_s, now)
        else:
            upstream.abort()
        self._answered(plan, now, self.client_shall_close or not self.received_whole)

    def interim(self, plan: ResponsePlan) -> None:
        """Pass a 1xx on to a client that can read it; the backend's 100 lets the body come."""
        if plan.status == 100:
            if self.phase == EXPECTING:
                self.invite_body()
        elif self.plan.minor:
            self.connection.write(plan.client_head + b"\r\n")
        if self.sent_whole:
            self.connection.deadline = min(self.clock() + self.timeouts.response_head_s, self.total_at)
        self.send_held()

    def upstream_failed(self, fault: Fault, reason: str, detail: str) -> None:
        """Repeat what may be repeated, answer 502, or cut the answer that was cut."""
        upstream, self.upstream = self.upstream, None
        assert upstream is not None, "it has just failed"
        if self.phase == TUNNEL:
            self.end_tunnel()
            return
        if self.status:
            self.cut(Outcome.UNUSABLE, fault, "upstream_error")
            return
        if fault is Fault.RESET and upstream.is_reused and not upstream.has_answered:
            self.pool.closed_after(self.sent_at - upstream.freed_at)
            if self.repeatable is not None:
                self.repeat(self.repeatable)
                return
        self.finish(Outcome.UNUSABLE, fault)
        self.answer_problem(Problem(502, reason, detail), "upstream_error")

    # -- the client --

    def client_paused(self) -> None:
        """The client takes no more for now: the backend is not read either."""
        if self.upstream is None or self.phase not in (ANSWERING, TUNNEL) or self.upstream_is_held:
            return
        self.upstream_is_held = True
        self.upstream.transport.pause_reading()
        if self.phase == ANSWERING:
            self.connection.deadline = min(self.clock() + self.timeouts.client_write_idle_s, self.total_at)

    def client_resumed(self) -> None:
        """The client takes more."""
        if self.upstream_is_held:
            self.upstream_is_held = False
            if self.upstream is not None:
                self.upstream.transport.resume_reading()
                if self.phase == ANSWERING:
                    self.connection.deadline = min(
                        self.clock() + self.timeouts.response_idle_s, self.total_at
                    )

    def client_left(self, reason: str = "client_left") -> None:
        """Give up: the backend's connection is closed and the slot freed."""
        if self.phase == IDLE:
            return
        if self.phase == TUNNEL:
            self.end_tunnel()
            return
        self._drop_upstream()
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            self.keep_booking(ticket)
            self.driver.cancel(ticket)
        self._ended(_CLIENT_LEFT, "client_abort", reason, self.clock())

    def client_broke(self, problem: Problem) -> None:
        """Give up a request whose body cannot be read, or is too large; no backend ever sees it whole."""
        self._drop_upstream()
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            self.keep_booking(ticket)
            self.driver.cancel(ticket)
        if self.status:
            self._ended(self.status, "bad_request", problem.reason, self.clock())
            self.connection.close()
        else:
            self.answer_problem(problem, "bad_request")

    def backend_busy(self) -> None:
        """Give a request that found no slot, and of which nothing was executed, to another backend."""
        ticket, kept = self.ticket, self.kept
        assert ticket is not None, "only a booked request can meet a busy backend"
        self.kept = self.repeatable = None
        if kept is None:
            self.finish(Outcome.UNUSABLE, None)
            self.refused(Refusal(RefusalReason.NO_BACKEND, 1.0), "shed")
            return
        self.held = kept + self.held if self.held else kept
        self.sent_whole = False
        self.phase = QUEUED
        admission = self.driver.busy(ticket)
        if isinstance(admission, Refusal):
            self.keep_booking(ticket)
            self.ticket = None
            self.refused(admission, "shed")
        elif admission.backend_index:
            self.forward(admission)
        else:
            self.connection.deadline = self.total_at

    # -- inside --

    def keep_booking(self, ticket: Ticket) -> None:
        """Keep for the record what the ticket says."""
        self._booking = ticket

    def answer_problem(self, problem: Problem, outcome: str) -> None:
        """Answer by ourselves; this ends the request."""
        plan, connection = self.plan, self.connection
        # a client that waits for 100 may send its body or not: nobody can tell where its next request begins
        is_doubtful = plan.chunked or plan.expects_continue or problem.status in _TOO_SLOW
        can_go_on = self.received_whole or (connection.can_discard and not is_doubtful)
        close = not (can_go_on and plan.keep_alive and plan.minor) or connection.must_close
        answer = problem.render(plan.path, self.request_id, close=close, without_body=self.head_only)
        self._drop_upstream()
        connection.write(answer)
        now = self.clock()
        self._ended(problem.status, outcome, problem.reason, now)
        connection.answer_ended(now, close, not self.received_whole)

    def end_tunnel(self) -> None:
        """End both ends of a tunnel; it was as long as its ends wanted it."""
        self._drop_upstream()
        self.finish(Outcome.UNUSABLE, None)
        self._ended(self.status, "ok", "", self.clock())
        self.connection.close()

    def _drop_upstream(self) -> None:
        if self.connecting is not None:
            self.connecting.cancel()
            self.connecting = None
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.abort()

    def _must_close(self) -> bool:
        return not self.plan.keep_alive or not self.received_whole or self.connection.must_close

    def _tail(self, *, close: bool) -> bytes:
        """Return the last lines of the client's head: the request's id, what becomes of the connection, the
        end.
        """
        tail = self.answer_tail
        if close:
            tail = _CLOSE_LINE + tail
        elif not self.plan.minor:
            tail = _KEEP_ALIVE_LINE + tail
        ticket = self.ticket
        if self.shared.debug_headers and ticket is not None:
            queue_ms = (ticket.booked_at - ticket.arrived_at) * 1e3
            upstream_ms = (self.first_byte_at - self.sent_at) * 1e3
            shown = (
                f"X-Swayam-Backend: {ticket.backend_address}\r\nX-Swayam-Attempts: {self.attempts}\r\n"
                f"Server-Timing: queue;dur={queue_ms:.3f}, upstream;dur={upstream_ms:.3f}\r\n"
            )
            tail = shown.encode("latin-1") + tail
        return tail

    def _answered(self, plan: ResponsePlan, now: float, close: bool) -> None:
        """End a request whose answer is complete; a failed or refused one tells nothing of execution
        times.
        """
        self.upstream_is_held = False
        ticket, self.ticket = self.ticket, None
        assert ticket is not None, "an answer belongs to a booked request"
        self._booking = ticket
        outcome = _SERVED if plan.status < 500 else _FAILED
        self.driver.finish(ticket, outcome, now, plan.execution_s, None, plan.idle)
        self._ended(plan.status, "ok", "", now)
        self.connection.answer_ended(now, close, not self.received_whole)

    def cut(self, outcome: Outcome, fault: Fault | None, word: str) -> None:
        """End an answer that cannot be completed, in a way that no client takes for its end."""
        self._drop_upstream()
        self.finish(outcome, fault)
        self._ended(self.status, word, "answer_incomplete", self.clock())
        if self.is_until_close:
            self.connection.reset()
        else:
            self.connection.close()

    def _ended(self, code: int, outcome: str, reason: str, now: float) -> None:
        """Hand the record over; the connection may begin its next request."""
        self.phase = IDLE
        self.kept = self.repeatable = None
        plan = self.plan
        record = RequestRecord(self.started_at)
        record.request_id = self.request_id
        record.trace_id = plan.trace_id
        record.client = self.connection.peer
        record.method = plan.method
        record.path = plan.shown_path
        record.code = code
        record.outcome = outcome
        record.reason = reason
        record.attempts = self.attempts
        record.bytes_in = self.bytes_in
        record.bytes_out = self.bytes_out
        record.connect_s = self.connect_s
        record.total_s = total_s = now - self.started_at
        if self.sent_at:
            record.upstream_s = now - self.sent_at
        if self.first_byte_at:
            record.first_byte_s = self.first_byte_at - self.started_at
        if plan.service is not None:
            record.service_name = plan.service.name
            record.sla_met = outcome == "ok" and code < 500 and total_s <= plan.service.promise_s
        booking = self._booking
        if booking is not None:
            self._booking = None
            record.backend_address = booking.backend_address
            record.backend_index = booking.backend_index
            record.prefix_size = booking.prefix
            record.queue_s = booking.booked_at - booking.arrived_at
        self.shared.recorder.record(record)
