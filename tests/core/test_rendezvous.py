"""The ordered lists of many services over one pool: the same everywhere, stable, spread evenly."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.rendezvous import ordered

machine_names = st.sets(st.text("abcdef0123456789.", min_size=1, max_size=8), min_size=1, max_size=12)
pools = machine_names.flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from([1.0, 2.0, 8.0]) for name in names})
)
MACHINES = {f"10.0.0.{number}:9001": 1.0 for number in range(20)}


@given(service=st.text(max_size=8), pool=pools)
def test_each_machine_comes_once(service: str, pool: dict[str, float]) -> None:
    """A list holds every machine of the pool once, whatever order they were given in."""
    assert sorted(ordered(service, pool)) == sorted(pool)
    assert ordered(service, dict(reversed(pool.items()))) == ordered(service, pool)


@given(service=st.text(max_size=8), pool=pools, data=st.data())
def test_a_machine_that_goes_moves_no_other(
    service: str, pool: dict[str, float], data: st.DataObject
) -> None:
    """Without one machine the others keep their order; with it again, it has its old place."""
    gone = data.draw(st.sampled_from(sorted(pool)))
    rest = {name: weight for name, weight in pool.items() if name != gone}
    assert ordered(service, rest) == [name for name in ordered(service, pool) if name != gone]


def test_orders_are_spread_evenly() -> None:
    """Over 4,000 services each of 20 machines is first, second and last for about 200 of them, and which
    comes second does not follow from which is first.
    """
    lists = [ordered(f"service-{number}", MACHINES) for number in range(4000)]
    for place in (0, 1, 19):
        counts = Counter(each[place] for each in lists)
        assert len(counts) == 20 and max(counts.values()) < 260 and min(counts.values()) > 145
    followers = Counter(pair for each in lists for pair in list(pairwise(each))[:1])
    assert len(followers) == 380 and max(followers.values()) < 30


def test_machines_with_more_room_come_first_more_often() -> None:
    """A machine of weight 3 among three of weight 1 is first for half of the services."""
    pool = {"a": 3.0, "b": 1.0, "c": 1.0, "d": 1.0}
    first = sum(ordered(f"service-{number}", pool)[0] == "a" for number in range(4000))
    assert 1880 < first < 2120


def test_order_is_the_same_in_every_process() -> None:
    """Another interpreter with another seed of its hashes, and any later version, finds this very order."""
    code = (
        "from swayam_proxy.core.rendezvous import ordered;"
        "print(','.join(ordered('digits', {f'm{n}': 1.0 + n % 2 for n in range(6)})))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert told == {"m1,m2,m5,m0,m4,m3"}
