"""Which faults can be asked of a fake backend, and the plan that makes them happen at a rate.

Knows the words only; `wire.py` carries them out.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fake_backend.quantities import parse_duration_s


class FaultKind(StrEnum):
    """What goes wrong, in the words of `?fault=KIND[:ARGUMENT]`, the `X-Fault` field and `--fault`."""

    DELAY = "delay"
    """delay:2s: the execution takes that much longer (the slot stays taken)."""
    HANG = "hang"
    """Take a slot and never answer, until the client leaves."""
    RESET = "reset"
    """Read the request, execute, then reset the connection."""
    CLOSE = "close"
    """Read the request, execute, then close without a byte."""
    CUT = "cut"
    """Send the head and half of the body, then close."""
    CHUNK = "chunk"
    """Send a chunked body with a chunk size that is no number, then close."""
    LENGTH = "length"
    """length:+10 or length:-10: a Content-Length that much off the body, then close."""
    GARBAGE = "garbage"
    """Send bytes that are no HTTP."""
    DRIBBLE = "dribble"
    """dribble:2s: send the body in eight parts over that time."""
    STATUS = "status"
    """status:503: answer with that status; "5xx" is status:500."""
    BUSY = "busy"
    """Answer 503 with Swayam-Busy: 1, without executing."""


_DURATION_KINDS = {FaultKind.DELAY, FaultKind.DRIBBLE}
_DEFAULT_DURATION_S = 1.0
_DEFAULT_STATUS = 500
_DEFAULT_LENGTH_ERROR = 10


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with its argument: seconds, a status or a number of bytes, as the kind wants it."""

    kind: FaultKind
    argument: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults that happen by themselves: to `rate` of the requests, one of `faults` each, evenly."""

    rate: float = 0.0
    faults: tuple[Fault, ...] = ()


class FaultSource:
    """Draws by the plan from one backend's own stream of chance."""

    def __init__(self, plan: FaultPlan, *, seed: int, backend_index: int) -> None:
        self._plan = plan
        self._random = random.Random(f"faults/{seed}/{backend_index}")

    def draw(self) -> Fault | None:
        """Return the fault of the next request, or None."""
        if not self._plan.faults or self._random.random() >= self._plan.rate:
            return None
        return self._plan.faults[self._random.randrange(len(self._plan.faults))]


def asked_fault(query: Mapping[str, str], headers: Mapping[str, str]) -> Fault | None:
    """Return the fault that a request asks for by `?fault=` or `X-Fault`; raise ValueError if unknown."""
    text = query.get("fault") or headers.get("X-Fault")
    return parse_fault(text) if text else None


def parse_fault(text: str) -> Fault:
    """Return the fault of "delay:2s" and the like; raise ValueError with a text for users."""
    name, _, argument = text.strip().partition(":")
    if name == "5xx":
        name, argument = FaultKind.STATUS, argument or str(_DEFAULT_STATUS)
    try:
        kind = FaultKind(name)
    except ValueError:
        known = ", ".join(FaultKind)
        raise ValueError(f"unknown fault {name!r}; known are {known} and 5xx") from None
    if kind in _DURATION_KINDS:
        return Fault(kind, parse_duration_s(argument) if argument else _DEFAULT_DURATION_S)
    if kind is FaultKind.STATUS:
        return Fault(kind, float(_whole_number(argument or str(_DEFAULT_STATUS), 200, 599, kind)))
    if kind is FaultKind.LENGTH:
        return Fault(kind, float(_whole_number(argument or str(_DEFAULT_LENGTH_ERROR), -65536, 65536, kind)))
    if argument:
        raise ValueError(f"fault {kind} takes no argument, got {argument!r}")
    return Fault(kind)


def _whole_number(text: str, least: int, most: int, kind: FaultKind) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"fault {kind} takes a whole number, got {text!r}") from None
    if not least <= number <= most:
        raise ValueError(f"fault {kind} takes a number from {least} to {most}, got {text}")
    return number
