"""Writes down all that a frontend is told and asked, so that it can be played again (`core/recording`).

A frontend like any other, with its own dice of a known seed, that writes a line for each call. Knows neither
what the calls mean nor who makes them. Where no recording is wanted none of this is loaded or called.

A recording has no holes: where the file or the queue of lines cannot follow, or after `CALLS_MAX` lines, it
ends, and says so in its last line.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import orjson

from swayam_proxy.core.commands import Command, RecordDecision, RejectRequest
from swayam_proxy.core.events import Event
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.recording import head_line, plain_decision, result_of
from swayam_proxy.core.service import Service
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER, Decision, Fault, FrontendSpec, Outcome, Refusal
from swayam_proxy.live.line_writer import LineWriter

logger = logging.getLogger("swayam")

CALLS_MAX: Final = 2_000_000
"""Some 200 MB: an hour of 250 requests a second."""
_QUEUE_MAX: Final = 65_536

Line = tuple[Any, ...] | dict[str, Any]


def _line_of(line: Line) -> bytes:
    if isinstance(line, tuple) and isinstance(line[-1], Decision):
        line = (*line[:-1], plain_decision(line[-1]))
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


class Recording:
    """The file, and the numbers of the tickets."""

    def __init__(self, path: str, *, calls_max: int = CALLS_MAX) -> None:
        """Begin an empty file; `OSError` when it cannot be written."""
        Path(path).write_bytes(b"")
        self._path = path
        self.writer: LineWriter[Line] = LineWriter(path, _line_of, queue_max=_QUEUE_MAX)
        self._left_count = calls_max
        self._tickets: dict[Ticket, int] = {}
        self._admitted_count = 0

    def note(self, *line: Any) -> None:
        """Write a line that begins with kind and `now`."""
        if self._left_count <= 0:
            return
        self._left_count -= 1
        self.writer.put(line)
        if not self._left_count or self.writer.dropped_count:
            self._left_count = 0
            why = "the file could not follow" if self.writer.dropped_count else "it is as long as it may be"
            self.writer.put(("end", line[1], why))
            logger.warning("the recording in %s ends: %s", self._path, why)

    def begin(self, spec: FrontendSpec, seed: int, at: float, version: str) -> None:
        """Write the first line."""
        self.writer.put(head_line(spec, seed, at, version))

    def admitted(self, ticket: Ticket) -> int:
        """Return the number of a new ticket."""
        self._admitted_count += 1
        self._tickets[ticket] = self._admitted_count
        return self._admitted_count

    def number_of(self, ticket: Ticket) -> int:
        """Return the number of a ticket that has not ended."""
        return self._tickets[ticket]

    def ended(self, ticket: Ticket) -> int:
        """Return the number of a ticket that ends now; 0 when it had ended before."""
        return self._tickets.pop(ticket, 0)

    def heed(self, commands: Sequence[Command]) -> Sequence[Command]:
        """Note the decisions among the orders, and forget the tickets that they end."""
        for command in commands:
            if isinstance(command, RecordDecision):
                self.note("decision", command.decision.at, command.decision)
            elif isinstance(command, RejectRequest):
                self.ended(command.ticket)
        return commands


class RecordedService:
    """One service's rules, as the driver calls them; all else passes through."""

    def __init__(self, service: Service, recording: Recording) -> None:
        """Stand before `service`."""
        self.inner = service
        self._recording = recording

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def admit(self, now: float, deadline: float, replayable: bool) -> Ticket | Refusal:
        """Note the arrival and what came of it."""
        recording = self._recording
        admission = self.inner.admit(now, deadline, replayable)
        number = recording.admitted(admission) if isinstance(admission, Ticket) else 0
        until = deadline if deadline < NEVER else None
        recording.note("admit", now, self.inner.spec.name, until, replayable, number, result_of(admission))
        return admission

    def busy(self, ticket: Ticket, now: float) -> Ticket | Refusal:
        """Note that a backend had no slot."""
        return self._again("busy", ticket, now, (), self.inner.busy(ticket, now))

    def rebook(self, ticket: Ticket, fault: Fault, now: float) -> Ticket | Refusal:
        """Note that nothing was sent to a backend."""
        return self._again("rebook", ticket, now, (fault,), self.inner.rebook(ticket, fault, now))

    def _again(
        self, kind: str, ticket: Ticket, now: float, more: tuple[Any, ...], admission: Ticket | Refusal
    ) -> Ticket | Refusal:
        recording, refused = self._recording, isinstance(admission, Refusal)
        number = recording.ended(ticket) if refused else recording.number_of(ticket)
        recording.note(kind, now, number, *more, result_of(admission))
        return admission

    def finish(
        self,
        ticket: Ticket,
        outcome: Outcome,
        now: float,
        execution_s: float | None = None,
        fault: Fault | None = None,
        idle: bool = False,
    ) -> Sequence[Command]:
        """Note the end of a request."""
        recording = self._recording
        recording.note("finish", now, recording.ended(ticket), outcome, execution_s, fault, idle)
        return recording.heed(
            self.inner.finish(ticket, outcome, now, execution_s=execution_s, fault=fault, idle=idle)
        )

    def cancel(self, ticket: Ticket, now: float) -> Sequence[Command]:
        """Note that a client left; nothing when the request had ended before."""
        recording = self._recording
        if number := recording.ended(ticket):
            recording.note("cancel", now, number)
        return recording.heed(self.inner.cancel(ticket, now))

    def own_executions(self, now: float) -> ExecutionSummary:
        """Note that somebody asked: what is measured is summed up at these moments."""
        self._recording.note("executions", now, self.inner.spec.name)
        return self.inner.own_executions(now)


class RecordingFrontend(Frontend):
    """A frontend whose calls are written down."""

    def __init__(
        self, spec: FrontendSpec, seed: int, clock: Callable[[], float], recording: Recording, version: str
    ) -> None:
        """Begin, with dice of the seed."""
        now = clock()
        recording.begin(spec, seed, now, version)
        super().__init__(spec, Random(seed), now)
        self._recording = recording
        self._services = {
            name: cast(Service, RecordedService(service, recording))
            for name, service in self._services.items()
        }

    def handle(self, event: Event, now: float) -> Sequence[Command]:
        """Note the event, and the decisions that follow from it."""
        self._recording.note("event", now, type(event).__name__, event)
        return self._recording.heed(super().handle(event, now))

    def reschedule(self, service: Service) -> None:
        """Do it for the service itself."""
        super().reschedule(service.inner if isinstance(service, RecordedService) else service)

    def own_arrivals(self, service_name: str, now: float) -> int:
        """Note that somebody asked, and the answer."""
        count = super().own_arrivals(service_name, now)
        self._recording.note("arrivals", now, service_name, count)
        return count
