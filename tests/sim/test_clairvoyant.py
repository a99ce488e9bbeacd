"""The clairvoyant yardsticks, against rules written out slowly."""

import numpy as np
import pytest

from swayam_proxy.sim.clairvoyant import claira1_backend_seconds, claira2, clairvoyant_prefix
from swayam_proxy.sim.workload import LogNormalLaw, Workload, workload_from_rates


def _workload(arrivals: list[float], executions: list[float], duration_s: float = 100.0) -> Workload:
    return Workload("x", np.array(arrivals), np.array(executions), duration_s, float(np.mean(executions)))


def _slow_claira2(workload: Workload, response_time_s: float, setup_s: float, idle_s: float) -> float:
    """The rule as it is written down, with a list of [opened, free] per backend."""
    open_now: list[list[float]] = []
    bill = 0.0
    for arrival, execution in zip(workload.arrivals_s, workload.executions_s, strict=True):
        for backend in [b for b in open_now if b[1] + idle_s < arrival]:
            open_now.remove(backend)
            bill += backend[1] + idle_s - backend[0]
        able = [b for b in open_now if max(b[1], arrival) + execution <= arrival + response_time_s]
        if able:
            chosen = max(able, key=lambda b: b[1])
        else:
            chosen = [arrival - setup_s, arrival]
            open_now.append(chosen)
        chosen[1] = max(chosen[1], arrival) + execution
    return bill + sum(free + idle_s - opened for opened, free in open_now)


@pytest.mark.parametrize("seed", range(6))
def test_claira2_follows_its_rule(seed: int) -> None:
    """The fast form bills what the rule bills, also where executions exceed the promise."""
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.0, 12.0, 200)
    workload = workload_from_rates("x", rates, 1.0, LogNormalLaw(0.4, 1.2), rng)
    fast = claira2(workload, response_time_s=1.2, setup_s=3.0, idle_s=5.0)
    slow = _slow_claira2(workload, 1.2, 3.0, 5.0)
    assert fast.backend_seconds == pytest.approx(slow, rel=1e-9)
    assert fast.peak_backends <= fast.setups_count


def test_claira2_by_hand() -> None:
    """The second request fits behind the first, the third does not; each backend idles, then closes."""
    workload = _workload([10.0, 10.0, 10.0], [1.0, 1.0, 1.0])
    bill = claira2(workload, response_time_s=2.0, setup_s=4.0, idle_s=6.0)
    # first backend: 6 to 12 + 6; second: 6 to 11 + 6
    assert bill.backend_seconds == 12.0 + 11.0
    assert (bill.peak_backends, bill.setups_count) == (2, 2)


def test_claira1_is_the_work() -> None:
    """ClairA1 bills the executions alone."""
    assert claira1_backend_seconds(_workload([1.0, 2.0], [0.5, 0.25])) == 0.75


def test_the_clairvoyant_prefix_is_ready_in_time_and_idles() -> None:
    """A step of load is billed from the set-up time before it to the idle time after it."""
    arrivals = np.arange(40.0, 60.0, 0.1)
    workload = _workload(arrivals.tolist(), [0.1] * arrivals.size)
    bill, billed = clairvoyant_prefix(
        workload, lambda rate: 2 if rate > 5.0 else 0, setup_s=5.0, idle_s=10.0, look_s=1.0
    )
    assert billed[:35].max() == 0.0
    assert billed[35:70].min() == 2.0
    assert billed[70:].max() == 0.0
    assert bill.backend_seconds == 2.0 * 35.0
    assert (bill.peak_backends, bill.setups_count) == (2, 2)
