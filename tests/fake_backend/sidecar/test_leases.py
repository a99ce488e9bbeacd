"""Leases: the rules for the backend with a clock that only the test moves."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_backend.sidecar.leases import HOLD_S, HOLDS_COUNT_MAX, HoldKey, LeasingSlots
from fake_backend.slots import Admission
from tests.fake_backend.sidecar.hand_clock import HandClock

LEASE_S = 0.05


class Visit:
    """A claim that needs nothing to start."""

    def start(self) -> None:
        """Run."""


@dataclass
class Told:
    """An observer that writes down what it is told."""

    grants: list[HoldKey] = field(default_factory=list)
    idle_count: int = 0
    emptied_count: int = 0

    def granted(self, key: HoldKey) -> None:
        """Note a grant."""
        self.grants.append(key)

    def fell_idle(self) -> None:
        """Note that a slot is free."""
        self.idle_count += 1

    def emptied(self) -> None:
        """Note that nothing runs."""
        self.emptied_count += 1


class Desk:
    """Slots, their clock, and what was told of them."""

    def __init__(self, slots_count: int = 1) -> None:
        self.clock = HandClock()
        self.told = Told()
        self.slots = LeasingSlots(
            slots_count, lease_s=LEASE_S, alarm=self.clock, observer=self.told, clock=self.clock
        )
        self.slots.open()


@pytest.fixture
def desk() -> Desk:
    """One slot, open and free."""
    return Desk()


def test_no_slot_before_it_is_open() -> None:
    """Closed slots refuse tries, and keep no hold."""
    desk = Desk()
    desk.slots.close(end_leases=True)
    assert desk.slots.enter(Visit()) is Admission.BUSY
    desk.slots.hold(("a", 1), 0.0)
    assert (desk.slots.holds_count, desk.slots.free_count) == (0, 0)


def test_the_oldest_hold_is_next(desk: Desk) -> None:
    """Age on arrival plus the time since; of equals the first that came."""
    desk.slots.enter(Visit())
    desk.slots.hold(("a", 1), 0.0)
    desk.clock.advance(1.0)
    desk.slots.hold(("b", 1), 0.5)
    desk.slots.hold(("c", 1), 1.0)
    desk.slots.hold(("d", 1), 2.0)
    desk.slots.leave()
    for _ in range(3):
        desk.slots.cancel(desk.told.grants[-1])
    assert [key[0] for key in desk.told.grants] == ["d", "a", "c", "b"]


def test_a_lease_ends_to_the_moment(desk: Desk) -> None:
    """Until then its request runs, from then on it is a try, even where the alarm is late."""
    desk.slots.hold(("a", 1), 0.0)
    desk.clock.advance(LEASE_S - 1e-6)
    assert desk.slots.enter(Visit()) is Admission.BUSY
    assert desk.slots.enter(Visit(), ("a", 1)) is Admission.STARTED
    desk.slots.leave()
    desk.slots.hold(("a", 2), 0.0)
    desk.slots.hold(("b", 1), 0.0)
    desk.clock.now += LEASE_S
    assert desk.slots.enter(Visit(), ("a", 2)) is Admission.BUSY
    assert desk.told.grants[-1] == ("b", 1)


def test_an_unused_lease_frees_its_slot(desk: Desk) -> None:
    """For the next hold, or, told as idle, for anybody."""
    desk.slots.hold(("a", 1), 0.0)
    desk.slots.hold(("b", 1), 0.0)
    desk.clock.advance(LEASE_S)
    assert desk.told.grants == [("a", 1), ("b", 1)]
    assert (desk.told.idle_count, desk.slots.leased_count) == (0, 1)
    desk.clock.advance(LEASE_S)
    assert (desk.told.idle_count, desk.slots.leased_count, desk.slots.free_count) == (1, 0, 1)


def test_a_hold_ends_after_ten_seconds(desk: Desk) -> None:
    """It is not counted any more, never granted, and its number may not come again to life."""
    desk.slots.enter(Visit())
    desk.slots.hold(("a", 1), 3600.0)
    desk.clock.advance(HOLD_S - 1e-3)
    desk.slots.hold(("a", 2), 0.0)
    assert desk.slots.holds_count == 2
    desk.clock.advance(1e-3)
    assert desk.slots.holds_count == 1
    desk.slots.leave()
    assert desk.told.grants == [("a", 2)]


def test_holds_are_bounded(desk: Desk) -> None:
    """Beyond ten thousand they are ignored and counted; room comes with time and with cancels."""
    desk.slots.enter(Visit())
    for number in range(1, HOLDS_COUNT_MAX + 4):
        desk.slots.hold(("a", number), 0.0)
    assert (desk.slots.holds_count, desk.slots.holds_ignored_count) == (HOLDS_COUNT_MAX, 3)
    desk.slots.cancel(("a", 1))
    desk.slots.hold(("b", 1), 0.0)
    assert desk.slots.holds_count == HOLDS_COUNT_MAX
    desk.clock.advance(HOLD_S)
    desk.slots.hold(("b", 2), 0.0)
    assert desk.slots.holds_count == 1


def test_cancelled_holds_leave_nothing_behind(desk: Desk) -> None:
    """A hundred thousand of them do not pile up while the slot is taken."""
    desk.slots.enter(Visit())
    for number in range(1, 100_001):
        desk.slots.hold(("a", number), 0.0)
        desk.slots.cancel(("a", number))
    kept = [len(value) for value in vars(desk.slots).values() if hasattr(value, "__len__")]
    assert max(kept) <= 2 * HOLDS_COUNT_MAX + 1


def test_a_frontend_is_forgotten_whole(desk: Desk) -> None:
    """Its holds first, so that its own lease does not pass to it; others are served."""
    desk.slots.hold(("a", 1), 0.0)
    desk.slots.hold(("a", 2), 9.0)
    desk.slots.hold(("b", 1), 0.0)
    desk.slots.forget("a")
    assert desk.told.grants == [("a", 1), ("b", 1)]
    assert desk.slots.holds_count == 0


@pytest.mark.parametrize(("end_leases", "admission"), [(False, Admission.STARTED), (True, Admission.BUSY)])
def test_closing_forgets_holds(desk: Desk, end_leases: bool, admission: Admission) -> None:
    """And leases only where nothing can run any more."""
    desk.slots.hold(("a", 1), 0.0)
    desk.slots.hold(("a", 2), 0.0)
    desk.slots.close(end_leases=end_leases)
    assert desk.slots.holds_count == 0
    assert desk.slots.enter(Visit(), ("a", 1)) is admission
    assert desk.clock.alarms_count == 0


def test_emptied_means_nothing_runs_and_nothing_is_leased(desk: Desk) -> None:
    """A closed desk is empty once its last lease has ended unused."""
    desk.slots.hold(("a", 1), 0.0)
    desk.slots.close(end_leases=False)
    assert not desk.slots.is_empty
    desk.clock.advance(LEASE_S)
    assert desk.slots.is_empty
    assert (desk.told.emptied_count, desk.told.idle_count) == (1, 0)


MOVES = st.one_of(
    st.tuples(st.just("try"), st.none(), st.none()),
    st.tuples(st.just("leave"), st.none(), st.none()),
    st.tuples(st.just("hold"), st.sampled_from("ab"), st.integers(1, 12)),
    st.tuples(st.just("cancel"), st.sampled_from("ab"), st.integers(1, 12)),
    st.tuples(st.just("use"), st.sampled_from("ab"), st.integers(1, 12)),
    st.tuples(st.just("forget"), st.sampled_from("ab"), st.none()),
    st.tuples(st.just("wait"), st.none(), st.integers(1, 4)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 3), st.lists(MOVES, max_size=80))
def test_no_slot_is_lost_or_lent_twice(slots_count: int, moves: list) -> None:
    """Whatever happens: slots are conserved, nobody waits beside a free one, and all come back at the end."""
    desk = Desk(slots_count)
    slots = desk.slots
    for word, frontend, number in moves:
        if word == "try":
            slots.enter(Visit())
        elif word == "leave" and slots.running_count:
            slots.leave()
        elif word == "hold":
            slots.hold((frontend, number), number / 4)
        elif word == "cancel":
            slots.cancel((frontend, number))
        elif word == "use":
            slots.enter(Visit(), (frontend, number))
        elif word == "forget":
            slots.forget(frontend)
        elif word == "wait":
            desk.clock.advance(number * LEASE_S / 2)
        assert slots.running_count + slots.leased_count + slots.free_count == slots_count
        assert slots.free_count == 0 or slots.holds_count == 0
        assert desk.clock.alarms_count == slots.leased_count
    while slots.running_count:
        slots.leave()
    desk.clock.advance(HOLD_S)
    assert (slots.free_count, slots.holds_count) == (slots_count, 0)
