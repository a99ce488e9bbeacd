"""Orders from the rules to whoever performs them, in the imperative; plain data.

`live/driver.py` and `sim/world.py` perform the same union and end in `assert_never`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Decision, Refusal


@dataclass(frozen=True, slots=True)
class ForwardRequest:
    """A queued request has got a slot: send it to `ticket.backend_address` now."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class RejectRequest:
    """A queued request will not be served: answer it with the refusal. The ticket has ended."""

    ticket: Ticket
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class WarmBackend:
    """Set up this backend unless it is warm already; idempotent, any frontend may order it."""

    service_name: str
    backend_index: int
    incarnation: int
    claim: int | None = None
    """On a machine of a pool: how many backends beyond its least number the service has with this one."""


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Ask a backend for its next free slot, for a request that has waited `age_s`."""

    service_name: str
    backend_index: int
    hold_id: int
    age_s: float


@dataclass(frozen=True, slots=True)
class CancelHold:
    """Tell a backend that a hold is not needed any more; a slot granted to it is thereby given back."""

    service_name: str
    backend_index: int
    hold_id: int


@dataclass(frozen=True, slots=True)
class RecordDecision:
    """Write this decision to the decision log and count it.

    `evidence` returns all that is needed to make the decision again, as plain data; it is called only by
    whoever writes it down, on any thread.
    """

    decision: Decision
    evidence: Callable[[], dict[str, object]]


Command = ForwardRequest | RejectRequest | WarmBackend | PlaceHold | CancelHold | RecordDecision
