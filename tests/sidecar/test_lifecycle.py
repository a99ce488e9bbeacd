"""The life of a model server: the table, and what follows from each change."""

from itertools import product

import pytest

from swayam_proxy.core.errors import LifecycleError
from swayam_proxy.core.vocabulary import NEVER, BackendState
from swayam_proxy.sidecar.lifecycle import TRANSITIONS, Lifecycle, Order, Signal, next_state
from swayam_proxy.sidecar.settings import LifeSettings

COLD, WARMING, WARM, DRAINING, LOST = BackendState


def life(**more: float) -> Lifecycle:
    """Return a cold server that idles for 60 s, may take 10 s to start and 5 s to drain."""
    return Lifecycle(LifeSettings(**{"idle_s": 60.0, "setup_timeout_s": 10.0, "drain_s": 5.0, **more}))


def warm(now: float = 0.0) -> Lifecycle:
    """Return one that took 3 s to be warm at `now` + 3."""
    one = life()
    assert one.ask_setup(now) == [Order.START]
    one.server_healthy(now + 3.0)
    assert one.state is WARM
    return one


def test_missing_pairs_are_errors() -> None:
    """What the table does not hold is refused, never ignored; LOST is a frontend's word and no state here."""
    for state, signal in product(BackendState, Signal):
        if (state, signal) in TRANSITIONS:
            assert next_state(state, signal) is not LOST
        else:
            with pytest.raises(LifecycleError, match=state.value):
                next_state(state, signal)


def test_set_up_is_idempotent() -> None:
    """However many ask, a server is started once; an order for an old set-up does nothing."""
    one = life()
    assert one.ask_setup(0.0, 0) == []
    assert one.ask_setup(0.0, 1) == [Order.START]
    assert one.ask_setup(0.1, 1) == one.ask_setup(0.2, 2) == one.ask_setup(0.3) == []
    assert (one.state, one.incarnation) == (WARMING, 1)
    one.server_healthy(2.5)
    assert (one.state, one.setup_s) == (WARM, 2.5)


def test_set_up_that_takes_too_long_fails() -> None:
    """After the limit the server is killed and cold; the next order is another set-up."""
    one = life()
    one.ask_setup(1.0)
    assert one.next_wakeup() == 11.0
    assert one.wake(10.9) == []
    assert one.wake(11.0) == [Order.KILL]
    assert (one.state, one.failures_count) == (COLD, 1)
    assert one.ask_setup(12.0, 1) == []
    assert one.ask_setup(12.0, 2) == [Order.START]


def test_server_that_ends_before_it_is_healthy_fails_at_once() -> None:
    """Nobody waits for the limit when the process is gone."""
    one = life()
    one.ask_setup(0.0)
    assert one.server_unreachable(0.5, has_ended=True) == [Order.KILL]
    assert one.state is COLD
    assert one.next_wakeup() == NEVER


def test_idle_server_is_decommissioned_once_drained() -> None:
    """Idle time counts from set-up or the last request; then DRAINING, then stopped, then COLD."""
    one = warm()
    assert one.next_wakeup() == 63.0
    one.running_count = 1
    assert one.next_wakeup() == NEVER
    one.running_count = 0
    one.idle_since = 10.0
    assert one.wake(69.9) == []
    assert one.wake(70.0) == [Order.STOP]
    assert one.state is DRAINING
    assert one.wake(71.0) == []
    one.server_stopped()
    assert one.state is COLD


def test_asking_again_keeps_a_warm_server() -> None:
    """An order that finds the server warm says that it is wanted: its idle time begins anew."""
    one = warm()
    one.ask_setup(50.0, 1)
    assert one.next_wakeup() == 110.0


def test_retiring_names_the_set_up() -> None:
    """Compare and set: only the present set-up can be retired; running requests get the drain's time."""
    one = warm()
    assert not one.ask_retire(5.0, 0)
    assert one.state is WARM
    one.running_count = 1
    assert one.ask_retire(5.0, 1)
    assert one.state is DRAINING
    assert one.ask_retire(5.1, 1)
    assert one.next_wakeup() == 10.0
    assert one.wake(9.0) == []
    one.running_count = 0
    assert one.wake(9.0) == [Order.STOP]


def test_set_up_is_not_retired_by_others() -> None:
    """A server that is just being set up is wanted by somebody; only the end of its sidecar stops it."""
    one = life()
    one.ask_setup(0.0)
    assert not one.ask_retire(1.0, 1)
    assert one.state is WARMING
    assert one.ask_retire(1.0, None)
    assert one.wake(1.0) == [Order.STOP]


def test_drain_ends_in_time() -> None:
    """Requests that do not end are cut when the drain's time is over."""
    one = warm()
    one.running_count = 1
    one.ask_retire(5.0, None)
    assert one.wake(10.0) == [Order.STOP]


def test_dead_server_is_started_again_as_a_new_set_up() -> None:
    """A death while warm begins another set-up by itself, under a new number."""
    one = warm()
    assert one.server_unreachable(40.0, has_ended=True) == [Order.START]
    assert (one.state, one.incarnation) == (WARMING, 2)
    one.server_healthy(42.0)
    assert one.setup_s == 2.0


def test_server_that_keeps_dying_is_left_cold() -> None:
    """After three deaths soon after being warm the set-up counts as failed: who wants it must ask again."""
    one = warm()
    for now in (4.0, 8.0):
        assert one.server_unreachable(now, has_ended=True) == [Order.START]
        one.server_healthy(now + 1.0)
    assert one.server_unreachable(12.0, has_ended=True) == []
    assert one.state is WARMING
    assert one.wake(12.0) == [Order.KILL]
    assert one.state is COLD


def test_unreachable_server_is_only_checked() -> None:
    """A server that runs but takes no connection is WARMING until it answers; it was no set-up."""
    one = warm()
    assert one.server_unreachable(10.0, has_ended=False) == [Order.CHECK]
    assert (one.state, one.incarnation) == (WARMING, 2)
    one.server_healthy(10.2)
    assert (one.state, one.setup_s) == (WARM, 3.0)
    assert one.server_unreachable(20.0, has_ended=False) == [Order.CHECK]
    assert one.server_unreachable(20.1, has_ended=True) == [Order.START]
    assert one.incarnation == 4


def test_late_news_changes_nothing() -> None:
    """What a server says while it is being stopped, or is cold, is too late."""
    one = warm()
    one.ask_retire(5.0, 1)
    one.server_healthy(5.1)
    assert one.server_unreachable(5.2, has_ended=True) == []
    assert one.state is DRAINING
    one.wake(5.3)
    one.server_stopped()
    one.server_healthy(6.0)
    assert one.server_unreachable(6.0, has_ended=True) == []
    one.server_stopped()
    assert one.state is COLD
