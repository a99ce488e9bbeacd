"""Every dispatch policy against its brute force, and what must hold for all of them."""

import numpy as np
import pytest

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting import waiting, waiting_on
from swayam_proxy.core.vocabulary import DispatchPolicy
from tests.core.model import brute_force
from tests.core.model.brute_force_late import late_binding

POINTS = np.array([0.1, 0.25, 0.5, 1.0, 1.5, 2.0])
TRIP = 0.01


def judged_alike(waits: np.ndarray, found: np.ndarray, rel: float, least: float = 0.006) -> None:
    """P(W > t) must agree wherever brute force has seen it often enough."""
    played = np.array([(waits > x).mean() for x in POINTS])
    judged = played > least
    assert judged.sum() >= 2
    assert (1.0 - found)[judged] == pytest.approx(played[judged], rel=rel)


def model(
    policy: DispatchPolicy, erlangs: float, n: int, cv: float, frontends: int, trip: float = 0.0
) -> np.ndarray:
    """P(W <= POINTS) as the model says."""
    setting = Setting(policy, frontends_count=frontends, round_trip_s=trip)
    return waiting(erlangs, n, LogNormal.of_mean_cv(1.0, cv), setting, horizon_s=4.0).cdf(POINTS)[0]


@pytest.mark.parametrize(("erlangs", "n", "cv"), [(6.0, 12, 0.3), (6.0, 10, 1.0)])
def test_random_dispatch(erlangs: float, n: int, cv: float) -> None:
    """Exact: within the noise of the simulation."""
    times = brute_force.lognormal(1.0, cv)
    waits = brute_force.random_fifo(np.random.default_rng(1), erlangs, n, times, 3_000)
    judged_alike(waits, model(DispatchPolicy.RANDOM, erlangs, n, cv, 8), 0.05)


@pytest.mark.parametrize(
    ("erlangs", "n", "cv", "frontends"), [(10.0, 16, 0.3, 8), (10.0, 24, 1.0, 4), (4.0, 8, 0.3, 2)]
)
@pytest.mark.parametrize("policy", [DispatchPolicy.P2C, DispatchPolicy.LEAST_OUTSTANDING])
def test_own_counts(policy: DispatchPolicy, erlangs: float, n: int, cv: float, frontends: int) -> None:
    """Within 25 %."""
    waits = brute_force.own_counts(
        np.random.default_rng(2),
        erlangs,
        n,
        brute_force.lognormal(1.0, cv),
        40_000,
        frontends=frontends,
        two_choices=policy is DispatchPolicy.P2C,
    )
    judged_alike(waits, model(policy, erlangs, n, cv, frontends), 0.25)


@pytest.mark.parametrize(("slots", "frontends", "n"), [(4, 8, 4), (4, 2, 4), (8, 4, 2)])
def test_own_counts_with_several_slots(slots: int, frontends: int, n: int) -> None:
    """Within 25 %."""
    times = brute_force.lognormal(1.0, 0.3)
    rng = np.random.default_rng(3)
    waits = brute_force.own_counts(
        rng, 0.72 * n * slots, n, times, 40_000, frontends=frontends, two_choices=False, slots=slots
    )
    setting = Setting(DispatchPolicy.LEAST_OUTSTANDING, slots, frontends)
    service = LogNormal.of_mean_cv(1.0, 0.3)
    judged_alike(
        waits, waiting(0.72 * n * slots, n, service, setting, horizon_s=4.0).cdf(POINTS)[0], 0.25, 0.02
    )


@pytest.mark.parametrize(
    ("erlangs", "n", "cv", "frontends"), [(10.0, 16, 0.3, 8), (10.0, 12, 1.0, 4), (4.0, 8, 0.3, 2)]
)
def test_join_idle_queue(erlangs: float, n: int, cv: float, frontends: int) -> None:
    """Within 25 %."""
    times = brute_force.lognormal(1.0, cv)
    waits = brute_force.join_idle_queue(
        np.random.default_rng(4), erlangs, n, times, 60_000, frontends=frontends
    )
    judged_alike(waits, model(DispatchPolicy.JOIN_IDLE_QUEUE, erlangs, n, cv, frontends), 0.25)


@pytest.mark.parametrize(("erlangs", "n", "cv"), [(2.0, 3, 1.0), (10.0, 12, 1.0)])
def test_retry(erlangs: float, n: int, cv: float) -> None:
    """Within 60 %: an order that nobody keeps is approximated by two exponentials."""
    times = brute_force.lognormal(1.0, cv)
    waits = brute_force.retry(np.random.default_rng(5), erlangs, n, times, 40_000, round_trip_s=TRIP)
    judged_alike(waits, model(DispatchPolicy.RETRY, erlangs, n, cv, 1, TRIP), 0.6)


@pytest.mark.parametrize(
    ("erlangs", "n", "cv", "frontends"), [(10.0, 12, 0.3, 8), (20.0, 24, 1.0, 8), (4.0, 7, 0.3, 2)]
)
def test_late_binding(erlangs: float, n: int, cv: float, frontends: int) -> None:
    """With all its messages: P(W > t) at 0.8 to 1.7 times what is played out, on the safe side more often."""
    times = brute_force.lognormal(1.0, cv)
    waits, messages = late_binding(
        np.random.default_rng(6), erlangs, n, times, 60_000, frontends=frontends, round_trip_s=TRIP
    )
    played = np.array([(waits > x).mean() for x in POINTS])
    judged = played > 0.006
    assert judged.sum() >= 2
    ratio = (1.0 - model(DispatchPolicy.LATE_BINDING, erlangs, n, cv, frontends, TRIP))[judged] / played[
        judged
    ]
    assert ratio.min() > 0.8
    assert ratio.max() < 1.7
    assert 2.0 < messages < 12.0


def test_holds_everywhere_are_the_central_queue() -> None:
    """Held at all backends, without tries or trips, requests wait as in one queue: simulated and computed."""
    times = brute_force.lognormal(1.0, 0.5)
    waits, _ = late_binding(
        np.random.default_rng(7),
        5.0,
        7,
        times,
        40_000,
        frontends=2,
        holds=7,
        round_trip_s=0.0,
        tries=0,
    )
    service = LogNormal.of_mean_cv(1.0, 0.5)
    central = waiting(5.0, 7, service, Setting(), horizon_s=4.0).cdf(POINTS)[0]
    judged_alike(waits, central, 0.2)
    late = Setting(DispatchPolicy.LATE_BINDING, holds_count=7, tries_count=0)
    assert waiting(5.0, 7, service, late, horizon_s=4.0).cdf(POINTS)[0] == pytest.approx(central, abs=1e-3)


def test_one_hold_is_random_dispatch() -> None:
    """Held at one backend, without tries or trips, a request has joined a random queue."""
    service = LogNormal.of_mean_cv(1.0, 0.5)
    one = Setting(DispatchPolicy.LATE_BINDING, holds_count=1, tries_count=0, frontends_count=1000)
    blind = waiting(5.0, 9, service, Setting(DispatchPolicy.RANDOM), horizon_s=6.0).cdf(POINTS)[0]
    assert waiting(5.0, 9, service, one, horizon_s=6.0).cdf(POINTS)[0] == pytest.approx(blind, abs=0.08)


@pytest.mark.parametrize("policy", [DispatchPolicy.P2C, DispatchPolicy.LEAST_OUTSTANDING])
def test_one_frontend_knows_everything(policy: DispatchPolicy) -> None:
    """With one frontend own counts are true counts: the central queue."""
    central = model(DispatchPolicy.CENTRAL_QUEUE, 5.0, 7, 0.5, 1)
    assert model(policy, 5.0, 7, 0.5, 1) == pytest.approx(central, abs=1e-9)


@pytest.mark.parametrize("policy", list(DispatchPolicy))
def test_rows_do_not_depend_on_each_other(policy: DispatchPolicy) -> None:
    """Asking for several numbers of backends at once gives what asking one by one gives."""
    lattice = Lattice.of(LogNormal.of_mean_cv(1.0, 0.4), 4.0)
    setting = Setting(policy, frontends_count=4, round_trip_s=TRIP)
    together = waiting_on(lattice, 6.0, [7, 9, 14], setting).cdf(POINTS)
    for row, n in zip(together, [7, 9, 14], strict=True):
        assert row == pytest.approx(waiting_on(lattice, 6.0, [n], setting).cdf(POINTS)[0], abs=1e-5)


def test_nonsense_is_refused() -> None:
    """No backends, a negative rate, a rate that is no number: an error that names them."""
    lattice = Lattice.of(LogNormal.of_mean_cv(1.0, 0.4), 4.0)
    for rate, backends in ((1.0, [0]), (-1.0, [1]), (float("nan"), [1]), (1.0, [])):
        with pytest.raises(ModelError, match="waiting needs"):
            waiting_on(lattice, rate, backends, Setting())
    with pytest.raises(ModelError, match="counted from 1"):
        Setting(slots=0)
    with pytest.raises(ModelError, match="finite"):
        Setting(dispersion=float("nan"))
