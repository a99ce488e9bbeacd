"""One request of a client and its answer: what happens when time runs out, and tunnels, on top of both ways.

The sweep calls `on_deadline`; which phase the request is in decides who is to blame and what the client is
told.
"""

from swayam_proxy.core.vocabulary import Fault, Outcome
from swayam_proxy.live.answer_side import AnswerSide
from swayam_proxy.live.problem import Problem
from swayam_proxy.live.request_side import AWAITING, CONNECTING, EXPECTING, IDLE, QUEUED, TUNNEL
from swayam_proxy.live.response_plan import ResponsePlan


class Exchange(AnswerSide):
    """What a client connection holds for the request that it serves now."""

    __slots__ = ()

    def on_deadline(self, now: float) -> None:
        """Do what is due at `now`, because nothing has happened for too long."""
        phase = self.phase
        if phase == IDLE:
            return
        if phase == TUNNEL:
            self.end_tunnel()
        elif now >= self.total_at:
            self._overdue("total_timeout", "the request took longer than it may in all")
        elif phase == QUEUED:
            self.connection.deadline = self.total_at
        elif phase == CONNECTING:
            assert self.connecting is not None, "its task runs"
            self.connecting.cancel()
            self.connecting = None
            self.connect_s += now - self.connect_began
            self.rebook(Fault.CONNECT_TIMEOUT)
        elif phase == EXPECTING:
            self.invite_body()
        elif phase == AWAITING:
            self._awaited_too_long()
        else:
            self._answered_too_slowly(now)

    def _awaited_too_long(self) -> None:
        upstream = self.upstream
        assert upstream is not None, "it was sent the head"
        if self.received_whole:
            self._overdue("response_head_timeout", "the backend did not begin its answer in time")
        elif upstream.write_paused:
            self._overdue("request_write_timeout", "the backend stopped taking the request")
        else:
            self.finish(Outcome.UNUSABLE, None)
            self.answer_problem(
                Problem(408, "request_body_timeout", "the body of the request stopped coming"), "bad_request"
            )

    def _answered_too_slowly(self, now: float) -> None:
        if self.connection.write_paused:
            deadline = min(now + self.timeouts.client_write_idle_s, self.total_at)
            if self.connection.client_takes_something(deadline):
                return
            self.client_left("client_too_slow")
            # a plain close would leave all that is unsent to the kernel, for as long as the client likes
            self.connection.reset()
        else:
            self.cut(Outcome.OVERDUE, Fault.TIMEOUT, "timeout")

    def _overdue(self, reason: str, detail: str) -> None:
        """End a request that took too long; only a booked backend can be blamed for it."""
        if self.status:
            self.cut(Outcome.OVERDUE, None, "timeout")
            return
        ticket = self.ticket
        if ticket is not None and ticket.backend_index:
            self.finish(Outcome.OVERDUE, Fault.TIMEOUT)
        elif ticket is not None:
            self.ticket = None
            self.driver.cancel(ticket)
        self.answer_problem(Problem(504, reason, detail), "timeout")

    # -- tunnels --

    def upgraded(self, plan: ResponsePlan, part: bytes) -> None:
        """Pass the 101 on; from here on bytes go both ways as they come."""
        upstream = self.upstream
        assert upstream is not None, "it has just answered"
        if not self.plan.upgrade or plan.upgrade.lower() != self.plan.upgrade:
            detail = "the backend switched to a protocol that nobody asked for"
            upstream.fail(Fault.MALFORMED, "backend_malformed", detail)
            return
        self.phase = TUNNEL
        self.status = plan.status
        now = self.clock()
        self.first_byte_at = now
        upgrade_lines = b"Connection: upgrade\r\nUpgrade: %b\r\n" % plan.upgrade
        self.connection.write(b"".join((plan.client_head, upgrade_lines, self._tail(close=False), part)))
        self._touch(now)
        self.connection.tunnel_began()

    def tunnel_part(self, part: bytes) -> None:
        """Pass on what the backend says."""
        self.bytes_out += len(part)
        self._touch(self.clock())
        self.connection.transport.write(part)

    def tunnel_ended(self) -> None:
        """The backend has said its last: the client is told, and may still speak."""
        if self.connection.eof or not self.connection.write_eof():
            self.end_tunnel()

    def take_tunnel_part(self, part: bytes) -> None:
        """Pass on what the client says."""
        self.bytes_in += len(part)
        self._touch(self.clock())
        if self.upstream is not None:
            self.upstream.transport.write(part)

    def client_ended_tunnel(self) -> None:
        """The client has said its last: the backend is told, and may still speak."""
        upstream = self.upstream
        if upstream is None or upstream.has_ended or not upstream.transport.can_write_eof():
            self.end_tunnel()
        else:
            upstream.transport.write_eof()

    def _touch(self, now: float) -> None:
        self.connection.deadline = now + self.timeouts.tunnel_idle_s
