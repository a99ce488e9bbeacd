"""The simulated backends and their bill."""

from random import Random

import pytest

from swayam_proxy.core.vocabulary import BackendState
from swayam_proxy.sim.engine import Engine
from swayam_proxy.sim.fleet import Fleet


def _fleet(engine: Engine, **changes: float) -> Fleet:
    settings = {"setup_s": 10.0, "setup_cv": 0.0, "idle_s": 60.0, "bill_until_s": 1000.0, **changes}
    slots = int(settings.pop("slots", 1))
    return Fleet(engine, Random(1), backends_count=5, slots=slots, **settings)  # type: ignore[arg-type]


def test_a_set_up_is_billed_from_its_order() -> None:
    """Cold, warming for the set-up time, warm, cold after the idle time: billed throughout."""
    engine = Engine()
    fleet = _fleet(engine)
    heard: list[tuple[float, BackendState]] = []
    fleet.listener = lambda index: heard.append((engine.now, fleet.backends[index].state))
    engine.call_at(5.0, lambda _a, _b: fleet.set_up(2))
    engine.call_at(6.0, lambda _a, _b: fleet.set_up(2))
    engine.run_until(500.0)
    assert heard == [(5.0, BackendState.WARMING), (15.0, BackendState.WARM), (75.0, BackendState.COLD)]
    assert fleet.backend_seconds() == 70.0
    assert (fleet.setups_count, fleet.peak_count, fleet.on_count) == (1, 1, 0)
    assert fleet.changes == [(5.0, 1), (75.0, 0)]


def test_requests_queue_and_put_off_the_idle_time() -> None:
    """One slot serves first come, first served; idleness counts from the end of the last request."""
    engine = Engine()
    fleet = _fleet(engine)
    fleet.begin_warm(1)
    assert [fleet.run(1, 30.0, 2.0), fleet.run(1, 30.5, 2.0), fleet.run(1, 40.0, 1.0)] == [32.0, 34.0, 41.0]
    engine.run_until(100.9)
    assert fleet.backends[1].state is BackendState.WARM
    engine.run_until(101.1)
    assert fleet.backends[1].state is BackendState.COLD
    assert fleet.backend_seconds() == 101.0


def test_an_order_renewed_puts_off_the_idle_time() -> None:
    """A warm backend stays for another while when its present set-up is meant; a cold one hears nothing."""
    engine = Engine()
    fleet = _fleet(engine)
    fleet.set_up(1)
    engine.run_until(40.0)
    assert fleet.renew(1, fleet.backends[1].incarnation)
    assert not fleet.renew(1, fleet.backends[1].incarnation + 1)
    assert not fleet.renew(2, 0)
    engine.run_until(99.9)
    assert fleet.backends[1].state is BackendState.WARM
    engine.run_until(100.1)
    assert fleet.backends[1].state is BackendState.COLD


def test_slots_run_side_by_side() -> None:
    """With two slots the third request waits for the first that ends."""
    fleet = _fleet(Engine(), slots=2)
    fleet.begin_warm(1)
    assert [fleet.run(1, 0.0, 3.0), fleet.run(1, 0.0, 1.0), fleet.run(1, 0.0, 1.0)] == [3.0, 1.0, 2.0]


def test_retiring_ends_work_first() -> None:
    """An idle backend goes at once, a warming one too, a busy one when it has done what it was given."""
    engine = Engine()
    fleet = _fleet(engine)
    fleet.begin_warm(2)
    fleet.set_up(3)
    fleet.run(2, 0.0, 7.0)
    for index in (1, 2, 3):
        fleet.retire(index)
    states = [fleet.backends[index].state for index in (1, 2, 3)]
    assert states == [BackendState.COLD, BackendState.DRAINING, BackendState.COLD]
    assert fleet.warm_count == 0
    engine.run_until(50.0)
    assert fleet.backends[2].state is BackendState.COLD
    assert fleet.backend_seconds() == 7.0


def test_a_crash_ends_the_bill_and_old_timers_mean_nothing() -> None:
    """A crashed backend can be set up again, and the timers of its former life do not touch the new one."""
    engine = Engine()
    fleet = _fleet(engine)
    fleet.set_up(1)
    engine.run_until(4.0)
    assert fleet.crash(1)
    assert not fleet.crash(1)
    fleet.set_up(1)
    engine.run_until(10.5)
    assert fleet.backends[1].state is BackendState.WARMING
    engine.run_until(14.5)
    assert fleet.backends[1].state is BackendState.WARM


def test_nothing_is_billed_after_the_trace() -> None:
    """The bill ends with the trace, whatever still runs."""
    engine = Engine()
    fleet = _fleet(engine, bill_until_s=50.0, idle_s=500.0)
    fleet.begin_warm(3)
    engine.run_until(400.0)
    assert fleet.backend_seconds() == 150.0


def test_set_up_times_vary_around_their_mean() -> None:
    """With a cv set-up times are log-normal around the mean."""
    engine = Engine()
    fleet = _fleet(engine, setup_cv=0.5)
    times = []
    for _ in range(4000):
        fleet.set_up(1)
        times.append(fleet.backends[1].setup_s)
        fleet.crash(1)
    assert sum(times) / len(times) == pytest.approx(10.0, rel=0.04)
