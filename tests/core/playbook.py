"""Plays traffic into one real `Frontend` on virtual time and asks what became of its prefix.

Backends are ideal: each request takes its execution time, none is lost. Arrivals are evenly spaced, so that a
story reads the same every time.
"""

import heapq
from dataclasses import replace
from random import Random

from swayam_proxy.core.commands import Command, ForwardRequest, RecordDecision, RejectRequest, WarmBackend
from swayam_proxy.core.events import BackendReported, WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    BackendSpec,
    BackendState,
    Decision,
    FrontendSpec,
    Outcome,
    Refusal,
    ServiceSpec,
    Sla,
)


def service_spec(backends_count: int = 12, **changes: object) -> ServiceSpec:
    """Return a service of equal backends with a promise of 99 % within 250 ms, changed as told."""
    spec = ServiceSpec(
        name="digits",
        backends=tuple(BackendSpec(f"127.0.0.1:{9000 + index}") for index in range(1, backends_count + 1)),
        sla=Sla(response_time_s=0.25, level=0.99, burst=1.0),
        execution_s=0.05,
        shrink_hold_s=30.0,
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


class Playbook:
    """One frontend, its traffic and its virtual time."""

    def __init__(self, spec: ServiceSpec, *, frontends_count: int = 1, execution_s: float = 0.05) -> None:
        self.spec = spec
        self.now = 0.0
        self.execution_s = execution_s
        self.frontend = Frontend(FrontendSpec("f1", (spec,), frontends_count), Random(7), self.now)
        self.refusals: list[Refusal] = []
        self.used: list[int] = []
        self.warmed: list[int] = []
        self.decisions: list[Decision] = []
        self._endings: list[tuple[float, int, Ticket]] = []
        self._sequence = 0

    def load(self, *, per_s: float, for_s: float) -> "Playbook":
        """Let `per_s` requests a second arrive for `for_s` seconds."""
        end = self.now + for_s
        gap_s = 1.0 / per_s if per_s > 0 else for_s + 1.0
        arrival = self.now + gap_s
        while arrival <= end:
            self._advance(arrival)
            self._admit()
            arrival += gap_s
        self._advance(end)
        return self

    def silence(self, for_s: float) -> "Playbook":
        """Let nothing arrive for a while."""
        return self.load(per_s=0.0, for_s=for_s)

    def expect_prefix(self, low: int, high: int | None = None) -> "Playbook":
        """Say what the prefix must be now: exactly `low`, or between both."""
        prefix = self.snapshot().prefix
        assert low <= prefix <= (low if high is None else high), f"prefix {prefix} at {self.now:.1f} s"
        return self

    def backend_says(self, index: int, state: BackendState, incarnation: int = 1) -> "Playbook":
        """Let a backend report a state."""
        event = BackendReported(self.spec.name, index, state, incarnation)
        self.perform(self.frontend.handle(event, self.now))
        return self

    def snapshot(self):  # type: ignore[no-untyped-def]
        """Return the service's snapshot."""
        return self.frontend.snapshot(self.now).services[0]

    def perform(self, commands: "list[Command] | tuple[Command, ...] | object") -> None:
        """Do what the rules order."""
        for command in commands:  # type: ignore[attr-defined]
            match command:
                case ForwardRequest(ticket):
                    self._run(ticket)
                case RejectRequest(_, refusal):
                    self.refusals.append(refusal)
                case WarmBackend(_, index, _):
                    self.warmed.append(index)
                case RecordDecision(decision):
                    self.decisions.append(decision)

    def _admit(self) -> None:
        admission = self.frontend.admit(self.spec.name, self.now)
        if isinstance(admission, Refusal):
            self.refusals.append(admission)
        elif admission.backend_index:
            self._run(admission)
        else:
            self.perform(self.frontend.take_orders(self.spec.name))

    def _run(self, ticket: Ticket) -> None:
        self.used.append(ticket.backend_index)
        self._sequence += 1
        heapq.heappush(self._endings, (self.now + self.execution_s, self._sequence, ticket))

    def _advance(self, until: float) -> None:
        while True:
            ending = self._endings[0][0] if self._endings else float("inf")
            wakeup = self.frontend.next_wakeup()
            due = min(ending, wakeup)
            if due > until:
                break
            self.now = max(self.now, due)
            if ending <= wakeup:
                _, _, ticket = heapq.heappop(self._endings)
                self.perform(self.frontend.finish(ticket, Outcome.SERVED, self.now))
            else:
                self.perform(self.frontend.handle(WakeupCame(), self.now))
        self.now = until
