"""Choice of a backend."""

from collections import Counter
from random import Random

import pytest

from swayam_proxy.core.dispatch import has_room, make_chooser, own_cap
from swayam_proxy.core.pool import Pool
from swayam_proxy.core.vocabulary import BackendSpec, BackendState, DispatchPolicy, HealthSpec, QueueSpec

SIMPLE = [DispatchPolicy.RANDOM, DispatchPolicy.LEAST_OUTSTANDING, DispatchPolicy.P2C]


def _pool(*slots: int) -> Pool:
    specs = tuple(BackendSpec(f"127.0.0.1:{9000 + k}", count) for k, count in enumerate(slots, start=1))
    pool = Pool(specs, HealthSpec(), BackendState.WARM)
    pool.set_prefix(len(slots))
    return pool


@pytest.mark.parametrize("policy", SIMPLE)
def test_ties_fall_evenly(policy: DispatchPolicy) -> None:
    """Among equals every backend is chosen equally often (chi-squared over 4 cells, p > 0.001)."""
    pool, chooser = _pool(1, 1, 1, 1), make_chooser(policy, Random(5), QueueSpec())
    chosen = Counter(chooser.choose(pool, 1.0, ()).index for _ in range(4000))  # type: ignore[union-attr]
    assert sum((count - 1000) ** 2 / 1000 for count in chosen.values()) < 16.3


@pytest.mark.parametrize("policy", SIMPLE)
def test_nothing_usable_is_none(policy: DispatchPolicy) -> None:
    """An empty prefix yields no backend, not an error."""
    pool = _pool(1, 1)
    pool.set_prefix(0)
    assert make_chooser(policy, Random(5), QueueSpec()).choose(pool, 1.0, ()) is None


@pytest.mark.parametrize("policy", SIMPLE)
def test_the_avoided_are_never_chosen(policy: DispatchPolicy) -> None:
    """A request goes to no backend that has failed it."""
    pool, chooser = _pool(2, 2, 2), make_chooser(policy, Random(5), QueueSpec())
    for _ in range(50):
        backend = chooser.choose(pool, 1.0, (1, 3))
        assert backend is not None and backend.index == 2


def test_least_outstanding_counts_per_slot() -> None:
    """Two requests on four slots are less than one on one slot... per slot."""
    pool, chooser = _pool(1, 4), make_chooser(DispatchPolicy.LEAST_OUTSTANDING, Random(5), QueueSpec())
    for backend in (pool.at(1), pool.at(2), pool.at(2)):
        pool.book(backend)
    backend = chooser.choose(pool, 1.0, ())
    assert backend is pool.at(2)


@pytest.mark.parametrize("policy", [DispatchPolicy.LEAST_OUTSTANDING, DispatchPolicy.P2C])
def test_own_share_of_the_slots_is_the_cap(policy: DispatchPolicy) -> None:
    """One of four frontends takes at most a quarter of eight slots; then it waits."""
    pool, chooser = _pool(8, 8), make_chooser(policy, Random(5), QueueSpec())
    booked = 0
    while (backend := chooser.choose(pool, 0.25, ())) is not None:
        pool.book(backend)
        booked += 1
    assert booked == 4
    assert {b.outstanding_count for b in pool} == {2}


def test_cap_is_never_below_one() -> None:
    """However many frontends there are, each may use each backend."""
    assert own_cap(1, 1 / 64) == 1
    assert own_cap(8, 1 / 3) == 3
    assert own_cap(8, 1.0) == 8
    for slots in (1, 2, 3, 8, 100):
        for frontends_count in (1, 2, 3, 7, 64):
            share = 1.0 / frontends_count
            (backend,) = Pool((BackendSpec("127.0.0.1:1", slots),), HealthSpec(), BackendState.WARM)
            for backend.outstanding_count in range(slots + 2):
                fits = backend.outstanding_count < own_cap(slots, share)
                assert has_room(backend, share) == fits


def test_random_bounds_the_queue_of_a_backend() -> None:
    """Random dispatch lets requests queue at a backend, but not without end."""
    pool = _pool(1)
    chooser = make_chooser(DispatchPolicy.RANDOM, Random(5), QueueSpec(outstanding_max=3))
    for _ in range(4):
        pool.book(chooser.choose(pool, 1.0, ()))  # type: ignore[arg-type]
    assert chooser.choose(pool, 1.0, ()) is None


def test_p2c_prefers_the_less_occupied() -> None:
    """With two backends both are always compared: the free one is chosen every time."""
    pool, chooser = _pool(2, 2), make_chooser(DispatchPolicy.P2C, Random(5), QueueSpec())
    pool.book(pool.at(1))
    assert {chooser.choose(pool, 1.0, ()).index for _ in range(50)} == {2}  # type: ignore[union-attr]


def test_p2c_falls_back_to_any_with_room() -> None:
    """Where both of the drawn ones are full, an idle third one still takes the request."""
    pool, chooser = _pool(*([1] * 12)), make_chooser(DispatchPolicy.P2C, Random(5), QueueSpec())
    for index in range(1, 12):
        pool.book(pool.at(index))
    assert {chooser.choose(pool, 1.0, ()).index for _ in range(50)} == {12}  # type: ignore[union-attr]
