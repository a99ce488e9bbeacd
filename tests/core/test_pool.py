"""The ordered backends of one service: prefix, slots, health."""

import pytest

from swayam_proxy.core.lifecycle import Signal
from swayam_proxy.core.pool import Pool
from swayam_proxy.core.vocabulary import BackendSpec, BackendState, HealthSpec


def _pool(count: int = 4, **health: object) -> Pool:
    specs = tuple(BackendSpec(f"127.0.0.1:{9000 + k}") for k in range(1, count + 1))
    pool = Pool(specs, HealthSpec(**health), BackendState.WARM)  # type: ignore[arg-type]
    pool.set_prefix(count)
    return pool


def _usable(pool: Pool) -> list[int]:
    return [backend.index for backend in pool.usable]


def test_usable_are_the_warm_ones_of_the_prefix() -> None:
    """Nobody beyond the prefix, and nobody who is not warm, can be chosen."""
    pool = _pool()
    pool.set_prefix(3)
    pool.signal(pool.at(2), Signal.REPORTED_COLD)
    assert _usable(pool) == [1, 3]
    assert not pool.fail_open


def test_prefix_reaches_around_holes() -> None:
    """Two working backends are needed, the second is lost: the prefix ends at the third."""
    pool = _pool()
    pool.signal(pool.at(2), Signal.CONTACT_LOST)
    assert pool.prefix_with(2, counting_coming=False) == 3
    assert pool.prefix_with(4, counting_coming=False) == 4
    assert pool.prefix_with(0, counting_coming=False) == 0


def test_cold_ones_count_only_where_they_can_be_set_up() -> None:
    """A cold backend that nobody can warm is a hole; one that can be set up is on its way."""
    pool = _pool()
    pool.signal(pool.at(1), Signal.REPORTED_COLD)
    assert pool.prefix_with(1, counting_coming=False) == 2
    assert pool.prefix_with(1, counting_coming=True) == 1


def test_probes_fall_and_rise_by_counts_in_a_row() -> None:
    """Three failures in a row lose a backend, a success between starts anew; two successes regain it."""
    pool = _pool(fall_count=3, rise_count=2)
    first = pool.at(1)
    results = [False, False, True, False, False]
    assert not any(pool.probed(first, healthy=result) for result in results)
    assert pool.probed(first, healthy=False)
    assert first.state is BackendState.LOST
    assert not pool.probed(first, healthy=True)
    assert pool.probed(first, healthy=True)
    assert _usable(pool) == [1, 2, 3, 4]


def test_faults_in_a_row_eject_for_a_growing_time() -> None:
    """The second ejection lasts twice as long, and after a return one fault is enough (probation)."""
    pool = _pool(eject_after_faults=3, eject_base_s=5.0)
    first = pool.at(1)
    assert [pool.faulted(first, 0.0) for _ in range(3)] == [False, False, True]
    assert _usable(pool) == [2, 3, 4]
    assert pool.next_return() == 5.0
    assert not pool.readmit(4.9)
    assert pool.readmit(5.0)
    assert pool.faulted(first, 6.0)
    assert pool.next_return() == 16.0


def test_success_ends_probation() -> None:
    """A backend that serves again has a clean record: three faults are needed anew, for the base time."""
    pool = _pool(eject_after_faults=3, eject_base_s=5.0)
    first = pool.at(1)
    for _ in range(3):
        pool.faulted(first, 0.0)
    pool.readmit(5.0)
    pool.succeeded(first)
    assert [pool.faulted(first, 6.0) for _ in range(3)] == [False, False, True]
    assert pool.next_return() == 11.0


def test_ejected_share_is_capped() -> None:
    """No more than half of the list is ejected, and what was denied is counted."""
    pool = _pool(4, eject_after_faults=1, ejected_share_max=0.5)
    assert [pool.faulted(backend, 0.0) for backend in pool] == [True, True, False, False]
    assert _usable(pool) == [3, 4]
    assert pool.ejections_denied_count == 2


def test_fails_open_visibly_when_nobody_looks_healthy() -> None:
    """With all backends lost, trying them beats refusing everyone; and it shows."""
    pool = _pool(2)
    for backend in pool:
        pool.signal(backend, Signal.CONTACT_LOST)
    assert pool.fail_open
    assert _usable(pool) == [1, 2]
    pool.signal(pool.at(2), Signal.CONTACT_REGAINED)
    assert not pool.fail_open
    assert _usable(pool) == [2]


def test_idle_follows_every_booking_and_change() -> None:
    """`idle` is at all times the usable backends without a request of ours."""
    pool = _pool(3)
    pool.book(pool.at(2))
    pool.book(pool.at(2))
    assert sorted(b.index for b in pool.idle) == [1, 3]
    pool.set_prefix(2)
    assert [b.index for b in pool.idle] == [1]
    pool.free(pool.at(2))
    assert [b.index for b in pool.idle] == [1]
    pool.free(pool.at(2))
    assert sorted(b.index for b in pool.idle) == [1, 2]
    pool.book(pool.at(1))
    pool.set_prefix(1)
    pool.set_prefix(3)
    assert sorted(b.index for b in pool.idle) == [2, 3]


def test_giving_back_what_was_not_booked_is_our_own_mistake() -> None:
    """A slot cannot be freed twice."""
    pool = _pool(1)
    pool.book(pool.at(1))
    pool.free(pool.at(1))
    with pytest.raises(AssertionError):
        pool.free(pool.at(1))


def test_a_persistently_slow_backend_counts_for_what_it_is_worth() -> None:
    """Two backends at half the speed count as one; chance differences of a tenth count as none."""
    pool = _pool(6)
    for index, execution_s in ((1, 0.05), (2, 0.1), (3, 0.1), (4, 0.055)):
        for _ in range(200):
            pool.executed(pool.at(index), execution_s)
    pool.weigh(0.05)
    assert pool.prefix_with(1, counting_coming=False) == 1
    assert pool.prefix_with(2, counting_coming=False) == 3
    assert pool.prefix_with(3, counting_coming=False) == 4


def test_few_executions_say_nothing_of_speed() -> None:
    """One slow answer does not make a slow backend."""
    pool = _pool(3)
    pool.executed(pool.at(1), 5.0)
    pool.weigh(0.05)
    assert pool.prefix_with(2, counting_coming=False) == 2


def test_slots_count_in_units_of_the_first() -> None:
    """A backend with four slots replaces two with two."""
    specs = (BackendSpec("a:1", 2), BackendSpec("a:2", 4), BackendSpec("a:3", 2))
    pool = Pool(specs, HealthSpec(), BackendState.WARM)
    pool.weigh(0.05)
    assert [pool.prefix_with(needs, counting_coming=False) for needs in (1, 2, 3, 4)] == [1, 2, 2, 3]
