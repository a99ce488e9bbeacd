"""One request before a model server: admitted with its grant or as a try, measured, or meant for the sidecar
itself.

What differs from a proxy's exchange, and nothing else: busy answers, two fields on answers, control requests.
"""

from typing import TYPE_CHECKING

from swayam_proxy.core.control_lines import FRONTEND_NAME
from swayam_proxy.core.vocabulary import BackendState, Refusal
from swayam_proxy.live.client_connection import ClientConnection
from swayam_proxy.live.client_transport import CLOSING
from swayam_proxy.live.data_plane import DataPlane
from swayam_proxy.live.exchange import Exchange
from swayam_proxy.live.problem import Problem
from swayam_proxy.live.response_plan import ResponsePlan
from swayam_proxy.live.upstream import UpstreamConnection
from swayam_proxy.sidecar.control_api import LINK_PATH, STATE_PATH, Reply, answer, refusal_of
from swayam_proxy.sidecar.control_link import ControlLink
from swayam_proxy.sidecar.driver import LINKS_COUNT_MAX, SidecarTicket
from swayam_proxy.sidecar.request import ControlRequest, SidecarPlan, SidecarPlanner

if TYPE_CHECKING:
    from swayam_proxy.sidecar.driver import SidecarDriver
    from swayam_proxy.sidecar.machine import MachineDriver

_IDLE_LINE = b"Swayam-Idle: 1\r\n"
_SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: swayam-control/1\r\n\r\n"


class BusyAnswer(Problem):
    """Tells a frontend that nothing of its request was executed here."""

    __slots__ = ("_state",)

    def __init__(self, state: BackendState) -> None:
        """Say in which state the server is, where it is not warm."""
        super().__init__(503, "busy")
        self._state = state

    def render(self, path: str, request_id: str, *, close: bool, without_body: bool = False) -> bytes:
        """Return the whole response."""
        del path, request_id, without_body
        state = "" if self._state is BackendState.WARM else f"Swayam-State: {self._state.value.upper()}\r\n"
        end = "Connection: close\r\n\r\n" if close else "\r\n"
        head = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nSwayam-Busy: 1\r\n"
        return (head + state + end).encode("ascii")


class SidecarExchange(Exchange):
    """What a connection to the sidecar holds for the request that it serves now."""

    __slots__ = ()

    driver: "SidecarDriver | MachineDriver"
    plan: SidecarPlan
    connection: "SidecarConnection"

    def admit(self) -> None:
        """Let the request run, answer that it cannot, or do what it asks of the sidecar."""
        control = self.plan.control
        if control is not None:
            if self.received_whole:
                self._control(control, self.held)
            else:
                self.connection.deadline = self.total_at
            return
        admission = self.driver.admit(
            self.service.name, self, self.started_at, self.total_at, grant=self.plan.grant
        )
        if isinstance(admission, Refusal):
            self.refused(admission, "shed")
            return
        self.ticket = admission
        self.forward(admission)

    def refused(self, refusal: Refusal, outcome: str) -> None:
        """Answer busy, before the model server has seen anything."""
        del refusal
        sidecar = self.driver.sidecar_of(self.service.name)
        assert sidecar is not None, "it has just refused"
        self.answer_problem(BusyAnswer(sidecar.life.state), outcome)

    def take_part(self, part: bytes, *, whole: bool) -> None:
        """Take the next part of the body's content."""
        control = self.plan.control
        if control is None:
            super().take_part(part, whole=whole)
            return
        self.held += part
        self.bytes_in += len(part)
        self.received_whole = whole
        if whole:
            self._control(control, self.held)

    def whole_answer(self, upstream: UpstreamConnection, plan: ResponsePlan, body: bytes) -> None:
        """Pass an answer on, with the time that it took."""
        took_ms = (self.clock() - self.sent_at) * 1000.0
        self.answer_tail = b"Server-Timing: exec;dur=%.3f\r\n%b" % (took_ms, self.answer_tail)
        ticket = self.ticket
        if isinstance(ticket, SidecarTicket) and self._nobody_waits(ticket):
            ticket.is_hinted = True
            self.answer_tail = _IDLE_LINE + self.answer_tail
        super().whole_answer(upstream, plan, body)

    def _nobody_waits(self, ticket: SidecarTicket) -> bool:
        sidecar = self.driver.sidecar_of(ticket.service_name)
        return sidecar is not None and sidecar.nobody_waits()

    # -- requests for the sidecar --

    def _control(self, control: ControlRequest, body: bytes) -> None:
        self.held = b""
        reply = refusal_of(control, self.connection.peer, self.driver.token)
        if reply is None:
            reply = self._obey(control, body)
        if reply is not None:
            self.answer_problem(reply, "ok" if reply.status < 400 else "bad_request")

    def _obey(self, control: ControlRequest, body: bytes) -> Reply | None:
        """Do what a request asks that may be made; None when its connection has been handed over."""
        sidecar = self.driver.sidecar_of(control.service)
        if sidecar is None:
            whole = self.driver.machine_state()
            assert whole is not None, "only a machine has several services"
            if control.path == STATE_PATH and not control.service:
                return Reply(200, whole)
            todo = "name one of them in Swayam-Service"
            return Reply(404, {"error": f"no such service; {todo}", "services": sorted(whole["services"])})
        if control.path == LINK_PATH:
            return self._open_link(control, sidecar)
        return answer(control, body, sidecar)

    def _open_link(self, control: ControlRequest, sidecar: "SidecarDriver") -> Reply | None:
        """Hand the connection over to the lines of a frontend."""
        frontend = control.frontend.decode("latin-1")
        if not FRONTEND_NAME.match(frontend):
            return Reply(400, {"error": "Swayam-Frontend: 1 to 64 of A-Z a-z 0-9 . _ -"})
        if sidecar.links_count >= LINKS_COUNT_MAX:
            return Reply(503, {"error": "too many frontends"})
        link = ControlLink(frontend, sidecar, self.clock())
        self.connection.write(_SWITCHED)
        self._ended(101, "ok", "", self.clock())
        self.connection.hand_over(link, sidecar)
        return None


class SidecarConnection(ClientConnection):
    """A connection from a frontend."""

    __slots__ = ()

    exchange_class = SidecarExchange

    def hand_over(self, link: ControlLink, sidecar: "SidecarDriver") -> None:
        """Let another protocol have the connection from here on."""
        pending, self.pending = self.pending, b""
        self.state = CLOSING
        shared = self.shared
        shared.connections.discard(self)
        self.transport.set_protocol(link)
        link.connection_made(self.transport)
        sidecar.link_opened(link)
        if pending:
            link.data_received(pending)
        shared.on_connection_closed()


class SidecarDataPlane(DataPlane):
    """Serves frontends before one model server."""

    connection_class = SidecarConnection
    planner_class = SidecarPlanner
