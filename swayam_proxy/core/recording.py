"""A frontend's whole life as lines of plain data: what it was told, what it was asked, what it decided.

Knows how specifications, events and results become numbers and strings and back; nothing of files or of who
calls. `live` writes such lines, `sim` plays them to a new frontend, which must decide the same.

The first line is a dict: format, version, seed, when it began, the specification. Each further line is a list
that begins with the kind of call and its `now`; tickets are numbered in the order of their admission:

    ["admit", now, service, deadline or None, replayable, ticket, result]
    ["busy", now, ticket, result]            ["rebook", now, ticket, fault, result]
    ["finish", now, ticket, outcome, execution_s or None, fault or None, idle]
    ["cancel", now, ticket]                  ["event", now, kind, fields]
    ["executions", now, service]             ["arrivals", now, service, count]
    ["decision", at, decision]               ["end", now, why]

A result is the index of the backend, 0 for a request that waits, or the reason of a refusal.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from swayam_proxy.core import events
from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Decision, FrontendSpec, Refusal

FORMAT: Final = 1
_EVENTS: Final = {kind.__name__: kind for kind in get_args(events.Event)}


def head_line(spec: FrontendSpec, seed: int, at: float, version: str) -> dict[str, Any]:
    """Return the first line of a recording."""
    return {"recording": FORMAT, "version": version, "seed": seed, "at": at, "spec": asdict(spec)}


def read_head(line: Mapping[str, Any]) -> tuple[FrontendSpec, int, float]:
    """Return specification, seed and beginning of a recording.

    Raises:
        EvidenceError: it is not one of this version.
    """
    if line.get("recording") != FORMAT:
        raise EvidenceError(f"not a recording of format {FORMAT}")
    try:
        return from_plain(FrontendSpec, line["spec"]), int(line["seed"]), float(line["at"])
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"the recording's first line is not complete: {error}") from None


def result_of(admission: Ticket | Refusal) -> int | str:
    """Return what came of a request: the index of its backend, 0 while it waits, or why it was refused."""
    return admission.backend_index if isinstance(admission, Ticket) else admission.reason.value


def plain_decision(decision: Decision) -> dict[str, Any]:
    """Return a decision with every digit, as JSON would give it back."""
    found = asdict(decision)
    found["attainment"] = [list(pair) for pair in decision.attainment]
    return found


def read_event(kind: str, values: Mapping[str, Any]) -> events.Event:
    """Return the event that was written down by its class's name and its fields.

    Raises:
        EvidenceError: this version knows no such event.
    """
    try:
        event: events.Event = from_plain(_EVENTS[kind], values)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"no event {kind!r} with {dict(values)!r}: {error}") from None
    return event


def from_plain(kind: Any, value: Any) -> Any:
    """Return a value of the type `kind` from what JSON made of it: dataclasses, tuples, enums, scalars.

    Raises:
        TypeError, ValueError: the value cannot have been of that type.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (inner,) = (each for each in arguments if each is not NoneType)
        return from_plain(inner, value)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(from_plain(inner, item) for inner, item in zip(kinds, value, strict=True))
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        unknown = set(value) - {field.name for field in fields(kind)}
        if unknown:
            raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        return kind(**{name: from_plain(hints[name], item) for name, item in value.items()})
    if issubclass(kind, Enum):
        return kind(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r} is not of type {kind.__name__}")
    return value
