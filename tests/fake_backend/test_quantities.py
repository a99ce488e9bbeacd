"""Durations and faults as people write them."""

import pytest

from fake_backend.faults import Fault, FaultKind, FaultPlan, FaultSource, asked_fault, parse_fault
from fake_backend.quantities import parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("200us", 0.0002),
        ("0", 0.0),
        (".5s", 0.5),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Number and unit make seconds; zero needs no unit."""
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["5", "", "-1s", "1 s", "s", "1e3s", "nan", "999999h", "1.2.3s"])
def test_other_texts_are_no_durations(text: str) -> None:
    """A missing unit, a sign, a power or nonsense is refused with an example."""
    with pytest.raises(ValueError, match=r"ms|week"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("delay:2s", Fault(FaultKind.DELAY, 2.0)),
        ("dribble", Fault(FaultKind.DRIBBLE, 1.0)),
        ("5xx", Fault(FaultKind.STATUS, 500.0)),
        ("status:429", Fault(FaultKind.STATUS, 429.0)),
        ("length:-10", Fault(FaultKind.LENGTH, -10.0)),
        ("reset", Fault(FaultKind.RESET)),
    ],
)
def test_faults_are_read(text: str, fault: Fault) -> None:
    """Kind and argument, each in its own unit."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["explode", "status:abc", "status:99", "delay:2", "reset:1", "length:1.5"])
def test_other_texts_are_no_faults(text: str) -> None:
    """An unknown kind or an argument that does not fit is refused."""
    with pytest.raises(ValueError, match=r"known are|takes|unit"):
        parse_fault(text)


def test_a_request_asks_by_query_or_field() -> None:
    """The query goes before the field; without either there is no fault."""
    assert asked_fault({"fault": "reset"}, {"X-Fault": "cut"}) == Fault(FaultKind.RESET)
    assert asked_fault({}, {"X-Fault": "cut"}) == Fault(FaultKind.CUT)
    assert asked_fault({}, {}) is None


def test_the_plan_keeps_its_rate() -> None:
    """A tenth of the requests, each of two faults about half of the time, the same for the same seed."""
    plan = FaultPlan(0.1, (Fault(FaultKind.RESET), Fault(FaultKind.CUT)))
    source = FaultSource(plan, seed=3, backend_index=1)
    drawn = [source.draw() for _ in range(20_000)]
    hits = [fault for fault in drawn if fault is not None]
    assert len(hits) == pytest.approx(2000, abs=5 * 42)
    assert hits.count(Fault(FaultKind.CUT)) == pytest.approx(len(hits) / 2, abs=5 * 23)
    again = FaultSource(plan, seed=3, backend_index=1)
    assert drawn[:500] == [again.draw() for _ in range(500)]
