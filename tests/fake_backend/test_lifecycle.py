"""States: the table of docs/sidecar-protocol.md, section 4, row by row, with a clock that the test moves."""

import math

import pytest

from fake_backend.lifecycle import NEXT, Lifecycle, Signal
from fake_backend.settings import ServerState
from tests.fake_backend.sidecar.hand_clock import HandClock

SETUP_S, IDLE_S = 3.0, 60.0
COLD, WARMING, WARM, DRAINING = ServerState.COLD, ServerState.WARMING, ServerState.WARM, ServerState.DRAINING


class Life:
    """A lifecycle, its clock, and the states that it told."""

    def __init__(self, start: ServerState = COLD, idle_s: float = IDLE_S) -> None:
        self.clock = HandClock()
        self.cycle = Lifecycle(self.clock, setup_s=SETUP_S, start=start, idle_s=idle_s, clock=self.clock)
        self.told: list[ServerState] = []
        self.cycle.on_change = lambda: self.told.append(self.cycle.state)


@pytest.fixture
def life() -> Life:
    """A cold backend."""
    return Life()


def warm() -> Life:
    """Return a backend that was set up once."""
    life = Life()
    life.cycle.set_up()
    life.clock.advance(SETUP_S)
    life.told.clear()
    return life


def test_set_up_takes_its_time(life: Life) -> None:
    """COLD, WARMING for the set-up time, WARM; asking again changes nothing."""
    life.cycle.set_up()
    life.cycle.set_up()
    life.clock.advance(SETUP_S - 0.001)
    assert life.told == [WARMING]
    assert life.cycle.measured_setup_s is None
    life.clock.advance(0.001)
    life.cycle.set_up()
    assert life.told == [WARMING, WARM]
    assert (life.cycle.incarnation, life.cycle.measured_setup_s) == (1, pytest.approx(SETUP_S))


def test_a_failed_set_up_is_cold_again(life: Life) -> None:
    """As often as asked for, then it succeeds; each counts."""
    life.cycle.setups_to_fail_count = 2
    for expected in (COLD, COLD, WARM):
        life.cycle.set_up()
        life.clock.advance(SETUP_S)
        assert life.cycle.state is expected
    assert life.cycle.incarnation == 3


def test_idle_backends_drain() -> None:
    """After the idle time since the end of set-up, not before."""
    life = warm()
    life.clock.advance(IDLE_S - 0.001)
    assert life.told == []
    life.clock.advance(0.001)
    assert life.told == [DRAINING]


def test_idle_time_begins_with_the_end_of_the_last_request() -> None:
    """Requests put it off, also one that runs while the time would be over."""
    life = warm()
    life.clock.advance(50.0)
    life.cycle.requests_ended()
    life.cycle.has_requests = lambda: True
    life.clock.advance(100.0)
    assert life.told == []
    life.cycle.has_requests = bool
    life.cycle.requests_ended()
    life.clock.advance(IDLE_S - 0.001)
    assert life.told == []
    life.clock.advance(0.001)
    assert life.told == [DRAINING]


def test_one_alarm_serves_all_requests() -> None:
    """Ending ten thousand requests leaves one alarm."""
    life = warm()
    for _ in range(10_000):
        life.cycle.requests_ended()
    assert life.clock.alarms_count == 1


def test_never_idle() -> None:
    """Without an idle time it stays warm."""
    life = Life(WARM, idle_s=math.inf)
    life.clock.advance(1e6)
    assert (life.told, life.clock.alarms_count) == ([], 0)


def test_retired_backends_drain_and_go_cold() -> None:
    """WARM drains; elsewhere retiring and draining change nothing."""
    life = warm()
    life.cycle.drained()
    life.cycle.retire()
    life.cycle.retire()
    life.cycle.drained()
    life.cycle.drained()
    life.cycle.retire()
    assert life.told == [DRAINING, COLD]


@pytest.mark.parametrize(("is_started_again", "state"), [(True, WARMING), (False, COLD)])
def test_a_dead_model_server(is_started_again: bool, state: ServerState) -> None:
    """It is started again, as another incarnation, or stays lost; cold there is nothing to die."""
    life = warm()
    assert life.cycle.die(is_started_again=is_started_again)
    assert life.told == [state]
    assert life.cycle.incarnation == 1 + is_started_again
    assert not life.cycle.die(is_started_again=True)


def test_death_ends_draining() -> None:
    """Nothing is left to wait for."""
    life = warm()
    life.cycle.retire()
    assert life.cycle.die(is_started_again=True)
    assert life.told == [DRAINING, COLD]


def test_no_alarm_outlives_its_state() -> None:
    """A backend that went cold by hand does not come to life again."""
    life = Life(WARMING)
    life.cycle.go_cold()
    life.clock.advance(1e6)
    assert (life.cycle.state, life.clock.alarms_count) == (COLD, 0)


def test_the_table_is_whole() -> None:
    """Every signal moves something, and every state can be left and come to."""
    assert {signal for _, signal in NEXT} == set(Signal)
    assert {state for state, _ in NEXT} == set(NEXT.values()) == set(ServerState)
