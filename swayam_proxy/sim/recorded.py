"""Plays a recording of a live frontend to a new one in virtual time: the same calls at the same moments.

Same specification, same dice, same facts: it must choose the same backends, refuse the same requests and
decide the same, digit by digit. Knows the lines of `core/recording`; nothing of who wrote them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from swayam_proxy.core.commands import Command, RecordDecision, RejectRequest
from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.recording import plain_decision, read_event, read_head, result_of
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import NEVER, Fault, Outcome, Refusal


@dataclass(frozen=True, slots=True)
class Difference:
    """What came out differently, in words."""

    service_name: str
    what: str


@dataclass(slots=True)
class Played:
    """What came of playing a recording."""

    calls_count: int = 0
    decisions_count: int = 0
    differences: list[tuple[int, Difference]] = field(default_factory=list)
    """By line, from the file's first on."""


def play_recording(lines: Iterable[Any]) -> Played:
    """Play the lines, each as JSON gave it; the first is the recording's head.

    Raises:
        EvidenceError: a line is not one that a recording of this version has.
    """
    remaining = iter(lines)
    player = _Player(next(remaining, {}))
    for number, line in enumerate(remaining, start=2):
        try:
            player.play(number, line)
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            if not player.played.differences:
                raise EvidenceError(f"line {number} is no call that could be made: {error}") from None
            return player.parted()
    return player.ended()


class _Player:
    """One new frontend, and what is expected of it."""

    def __init__(self, head: Any) -> None:
        if not isinstance(head, dict):
            raise EvidenceError("the first line is not the head of a recording")
        spec, seed, at = read_head(head)
        self._frontend = Frontend(spec, Random(seed), at)
        self._tickets: dict[int, Ticket] = {}
        self._made: list[dict[str, Any]] = []
        """Decisions that the recording has not told yet."""
        self._number = 0
        self.played = Played()

    def play(self, number: int, line: list[Any]) -> None:
        """Make the call of one line, and compare."""
        self._number = number
        kind, now = line[0], line[1]
        if kind == "decision":
            self._compare_decision(line[2])
            return
        if self._made:
            self._differs(self._made[0]["service_name"], "a decision that the recording does not have")
            self._made.clear()
        if kind == "end":
            return
        self.played.calls_count += 1
        if not (self._requested(kind, now, line[2:]) or self._told(kind, now, line[2:])):
            raise ValueError(f"{kind!r} with {len(line) - 2} values")

    def _requested(self, kind: str, now: float, values: list[Any]) -> bool:
        """Make a call of the request path; False when it is none."""
        frontend, tickets = self._frontend, self._tickets
        match kind, *values:
            case "admit", service_name, deadline, replayable, ticket_number, result:
                until = NEVER if deadline is None else deadline
                found = frontend.admit(service_name, now, until, replayable=replayable)
                if isinstance(found, Ticket):
                    found.owner = ticket_number
                    tickets[ticket_number] = found
                self._came_of(found, result, service_name)
            case "busy", ticket_number, result:
                ticket = tickets[ticket_number]
                self._came_of(frontend.busy(ticket, now), result, ticket.service_name, ticket)
            case "rebook", ticket_number, fault, result:
                ticket = tickets[ticket_number]
                found = frontend.rebook(ticket, Fault(fault), now)
                self._came_of(found, result, ticket.service_name, ticket)
            case "finish", ticket_number, outcome, execution_s, fault, idle:
                ticket, fault = tickets.pop(ticket_number), None if fault is None else Fault(fault)
                ended = frontend.finish(
                    ticket, Outcome(outcome), now, execution_s=execution_s, fault=fault, idle=idle
                )
                self._heed(ended)
            case "cancel", ticket_number:
                self._heed(frontend.cancel(tickets.pop(ticket_number), now))
            case _:
                return False
        return True

    def _told(self, kind: str, now: float, values: list[Any]) -> bool:
        """Tell a fact, or ask what was asked; False when it is neither."""
        match kind, *values:
            case "event", event_kind, fields_of_event:
                self._heed(self._frontend.handle(read_event(event_kind, fields_of_event), now))
            case "executions", service_name:
                self._frontend.own_executions(service_name, now)
            case "arrivals", service_name, count:
                found_count = self._frontend.own_arrivals(service_name, now)
                if found_count != count:
                    self._differs(service_name, f"recorded {count} arrivals, now {found_count}")
            case _:
                return False
        return True

    def parted(self) -> Played:
        """Stop where the call of this line cannot be made, since other choices were made before."""
        self._differs(self.played.differences[-1][1].service_name, "here both have parted for good")
        return self.played

    def ended(self) -> Played:
        """Return what came of it, once no line is left."""
        if self._made:
            self._differs(self._made[0]["service_name"], "more decisions than the recording has")
        return self.played

    def _came_of(
        self, found: Ticket | Refusal, result: int | str, service_name: str, ticket: Ticket | None = None
    ) -> None:
        """Compare what came of a request; take the orders that it left, as the driver did."""
        self._heed(self._frontend.take_orders(service_name))
        if ticket is not None and isinstance(found, Refusal):
            self._tickets.pop(ticket.owner)
        if result_of(found) != result:
            self._differs(service_name, f"recorded {result!r} for a request, now {result_of(found)!r}")

    def _heed(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, RecordDecision):
                self._made.append(plain_decision(command.decision))
            elif isinstance(command, RejectRequest):
                self._tickets.pop(command.ticket.owner)

    def _compare_decision(self, recorded: dict[str, Any]) -> None:
        self.played.decisions_count += 1
        if not self._made:
            self._differs(recorded["service_name"], "no decision was made")
            return
        made = self._made.pop(0)
        names = [name for name in made if recorded.get(name) != made[name]]
        if names or recorded.keys() != made.keys():
            told = "; ".join(f"{name}: recorded {recorded.get(name)}, now {made[name]}" for name in names)
            self._differs(made["service_name"], told or "it has other fields")

    def _differs(self, service_name: str, what: str) -> None:
        self.played.differences.append((self._number, Difference(service_name, what)))
