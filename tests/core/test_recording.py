"""Recordings: specifications and events as plain data and back."""

import json
from dataclasses import fields
from typing import get_args

import pytest

from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.events import BackendReported, Event, PeersHeard
from swayam_proxy.core.recording import from_plain, head_line, read_event, read_head, result_of
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    BackendSpec,
    BackendState,
    DispatchPolicy,
    FrontendSpec,
    Refusal,
    RefusalReason,
    RouteSpec,
    ServiceSpec,
    Sla,
)

SPEC = FrontendSpec(
    "frontend-1",
    (
        ServiceSpec(
            "digits",
            (BackendSpec("a:1"), BackendSpec("b:2", 4)),
            Sla(0.1 + 0.2, 0.99, None),
            routes=(RouteSpec("/d", "example.org", (("x-model", "digits"),)),),
            dispatch=DispatchPolicy.LATE_BINDING,
            prefix_max=2,
        ),
    ),
    3,
)


def test_a_specification_survives_json() -> None:
    """Every field comes back as it was, to the last digit."""
    line = json.loads(json.dumps(head_line(SPEC, 2**63 + 1, 123.456789012345, "0.1")))
    assert read_head(line) == (SPEC, 2**63 + 1, 123.456789012345)


def test_every_kind_of_event_survives_json() -> None:
    """Also those that nobody has thought of here: each field gets a value of its type."""
    values = {str: "digits", int: 3, float: 1.0 / 3.0, bool: True, BackendState: BackendState.WARM}
    values |= {float | None: None, tuple[float, ...]: (0.1, 2.0)}  # type: ignore[dict-item]
    for kind in get_args(Event):
        event = kind(*(values[field.type] for field in fields(kind)))  # type: ignore[index]
        plain = json.loads(json.dumps({f.name: getattr(event, f.name) for f in fields(kind)}))
        assert read_event(kind.__name__, plain) == event
    assert BackendReported in get_args(Event)
    assert PeersHeard in get_args(Event)


def test_results_are_a_place_or_a_reason() -> None:
    """The backend's index, 0 while it waits, or why not."""
    ticket = Ticket("digits", 1.0)
    assert result_of(ticket) == 0
    ticket.backend_index = 7
    assert result_of(ticket) == 7
    assert result_of(Refusal(RefusalReason.QUEUE_FULL, 1.0)) == "queue_full"


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"recording": 99},
        {"recording": 1},
        {"recording": 1, "spec": {"frontend_id": 3}, "seed": 1, "at": 0},
    ],
)
def test_a_head_of_another_kind_is_refused(line: dict[str, object]) -> None:
    """Another format, missing parts, values of another type."""
    with pytest.raises(EvidenceError):
        read_head(line)


def test_values_of_another_type_are_refused() -> None:
    """No truth for a number, no unknown field, no unknown event."""
    with pytest.raises(TypeError):
        from_plain(int, True)
    with pytest.raises(ValueError, match="no other"):
        from_plain(BackendSpec, {"address": "a:1", "other": 1})
    with pytest.raises(EvidenceError):
        read_event("SomethingElse", {})
