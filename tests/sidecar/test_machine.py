"""Many services on one pool, on virtual time: all are served, by turns if need be, and none is robbed."""

from random import Random

from swayam_proxy.core.vocabulary import BackendState
from tests.sidecar.pool_world import PoolWorld, ServiceLoad

SEED = 5


def shifting(services_count: int, length_s: float) -> list[ServiceLoad]:
    """Return services that are called for some while, then not, by turns and each at its own time; every
    fifth has a least number of one.
    """
    rng = Random(SEED)
    loads = []
    for number in range(services_count):
        until_s, is_called = rng.uniform(0.0, 20.0), number % 2 == 0
        phases = []
        while True:
            phases.append((min(until_s, length_s), rng.uniform(0.5, 4.0) if is_called else 0.0))
            if until_s >= length_s:
                break
            until_s, is_called = until_s + rng.uniform(20.0, 40.0), not is_called
        loads.append(ServiceLoad(f"service-{number}", int(number % 5 == 0), tuple(phases)))
    return loads


def test_fifty_services_take_turns_on_twenty_machines() -> None:
    """Twenty machines with room for two each, and services half of which are called at any time, not always
    the same. Every call is answered, within a set-up and the rest of whoever makes way; most within the
    promise; and no service is ever below its least number once it had it.
    """
    length_s, setup_s = 60.0, 3.0
    world = PoolWorld(
        shifting(50, length_s), machines_count=20, room_count=2, setup_s=setup_s, execution_s=0.1, tick_s=2.0
    )
    calls_begun: set[str] = set()
    for second in range(int(length_s) + 10):
        world.loop.run_until(float(second))
        calls_begun |= {name for name in world.loads if world.warm_count(name)}
        if second > setup_s + 1.0:
            robbed = [name for name, load in world.loads.items() if world.warm_count(name) < load.least]
            assert not robbed, f"at {second} s"
    assert len(calls_begun) == 50, "more than there is room for at a time: 40"
    assert sum(world.servers_counts) <= 40
    tallies = world.tallies
    calls_count = sum(tally.calls_count for tally in tallies.values())
    assert sum(len(tally.responses_s) for tally in tallies.values()) == calls_count > 2500
    assert all(tally.responses_s for tally in tallies.values())
    longest_s = max(max(tally.responses_s) for tally in tallies.values())
    assert longest_s < setup_s + 8.0
    # what is late waited for the first backend of its service: no rule saves that
    late = sum(tally.calls_count * (1.0 - tally.in_time_share) for tally in tallies.values()) / calls_count
    assert late < 0.15, late
    assert world.setups_count < 50 + 60, "each while that a service is called costs it one set-up"


def test_a_greedy_service_gives_back_what_others_need() -> None:
    """One service takes all the room that nobody else wants. Services below their least number get theirs at
    once; others that are called get a first backend, and the greedy one keeps no less than they have. No call
    is cut short for it.
    """
    loads = [
        ServiceLoad("greedy", 0, ((60.0, 12.0),)),
        ServiceLoad("kept", 2, ((60.0, 0.2),)),
        *(ServiceLoad(f"late-{number}", 0, ((20.0, 0.0), (60.0, 0.5))) for number in range(3)),
    ]
    world = PoolWorld(loads, machines_count=4, room_count=2, setup_s=1.0, execution_s=0.5, tick_s=1.0)
    world.loop.run_until(19.0)
    assert world.warm_count("kept") == 2
    assert world.warm_count("greedy") >= 4, "no machine has more than one of its backends"
    world.loop.run_until(35.0)
    warm = {name: world.warm_count(name) for name in world.loads}
    assert warm["kept"] == 2
    late = [warm[f"late-{number}"] for number in range(3)]
    assert min(late) >= 1 and warm["greedy"] >= max(late), warm
    world.loop.run_until(150.0)
    for name, tally in world.tallies.items():
        assert len(tally.responses_s) + tally.refused_count == tally.calls_count, name
        assert not tally.refused_count or name == "greedy", "it alone is called more than there is room for"


def test_frontends_agree_and_stay_where_they_are() -> None:
    """All frontends end up with the same machines for a service, as many as it needs, though each was refused
    by others at other times; and nobody moves while the load stays.
    """
    loads = [ServiceLoad(f"service-{number}", 0, ((60.0, 2.0),)) for number in range(8)]
    world = PoolWorld(
        loads, machines_count=4, room_count=2, frontends_count=3, setup_s=1.0, execution_s=0.1, tick_s=1.0
    )
    world.loop.run_until(30.0)
    setups_count = world.setups_count
    assert [world.warm_count(load.name) for load in loads] == [1] * 8
    world.loop.run_until(59.0)
    assert world.setups_count == setups_count
    for load in loads:
        used = {
            backend.index
            for frontend in world.frontends
            for service in frontend.snapshot(59.0).services
            if service.name == load.name
            for backend in service.backends
            if backend.state is BackendState.WARM and backend.in_use
        }
        assert len(used) == 1
