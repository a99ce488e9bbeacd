"""One queue before n servers: closed forms to 1e-6, simulation and ciw elsewhere."""

import ciw
import numpy as np
import pytest

from swayam_proxy.core.model.erlang import erlang_c
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting import central_queue, waiting
from swayam_proxy.core.model.waiting_central import least_residual_mean_s, mean_delay_s
from tests.core.model import brute_force
from tests.core.model.closed_forms import Exponential, md1_waits_at_most, mean_of_least

POISSON = Setting()


@pytest.mark.parametrize(("n", "erlangs"), [(1, 0.5), (1, 0.9), (4, 3.0), (10, 9.0)])
def test_exponential_service_is_exact(n: int, erlangs: float) -> None:
    """M/M/1 and M/M/c: P(W <= t) = 1 - C exp(-(n - a) t), to 1e-6."""
    lattice = Lattice.of(Exponential(), 10.0, 16_384)
    t = lattice.points_s[1:]
    exact = 1.0 - erlang_c(n, erlangs) * np.exp(-(n - erlangs) * t)
    assert np.abs(central_queue(lattice, [n], np.array([[erlangs]]), POISSON).cdf(t)[0] - exact).max() < 1e-6


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_constant_service_is_exact(load: float) -> None:
    """M/D/1: Erlang's series, to 1e-6."""
    lattice = Lattice.of(LogNormal.of_mean_cv(1.0, 0.0), 10.0, 8_192)
    t = np.linspace(0.05, 9.7, 60)
    exact = np.array([md1_waits_at_most(x, load) for x in t])
    assert np.abs(central_queue(lattice, [1], np.array([[load]]), POISSON).cdf(t)[0] - exact).max() < 1e-6


@pytest.mark.parametrize("cv", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("load", [0.3, 0.8])
def test_one_server_has_the_pollaczek_khinchine_mean(cv: float, load: float) -> None:
    """M/G/1: the mean of the waiting time on the grid is lambda E[S^2] / (2 (1 - rho)), to 1e-6."""
    service = LogNormal.of_mean_cv(1.0, cv)
    found = central_queue(Lattice.of(service, 130.0, 8_300), [1], np.array([[load]]), POISSON)
    exact = load * service.second_moment / (2.0 * (1.0 - load))
    assert float(found.masses[0] @ found.delays_s) == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert mean_delay_s(service, 1.0, load) == pytest.approx(exact, rel=1e-9)


def test_least_of_many_residuals_has_the_right_mean() -> None:
    """The quadrature in pieces agrees with the adaptive one."""
    for cv, count in ((0.3, 5.0), (1.0, 20.0), (0.05, 100.0)):
        service = LogNormal.of_mean_cv(1.0, cv)
        exact = mean_of_least(count, service.limited_mean, 1.0)
        assert least_residual_mean_s(service, count) == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize(
    ("n", "erlangs", "cv", "rel"),
    [(3, 2.0, 0.3, 0.15), (12, 10.0, 0.05, 0.15), (40, 36.0, 0.6, 0.15), (12, 10.0, 1.5, 0.35)],
)
def test_many_servers_agree_with_simulation(n: int, erlangs: float, cv: float, rel: float) -> None:
    """M/G/n: P(W > t) is close to brute force wherever it exceeds 0.003, and never far below it."""
    rng = np.random.default_rng(11)
    waits = brute_force.central(rng, erlangs, n, brute_force.lognormal(1.0, cv), steps=3_000, runs=300)
    t = np.array([0.0, 0.1, 0.25, 0.5, 1.0, 2.0])
    played = np.array([(waits > x).mean() for x in t])
    found = 1.0 - waiting(erlangs, n, LogNormal.of_mean_cv(1.0, cv), POISSON, horizon_s=4.0).cdf(t)[0]
    judged = played > 0.003
    assert found[judged] == pytest.approx(played[judged], rel=rel)
    assert (found[judged] > 0.88 * played[judged]).all()


def test_ciw_agrees() -> None:
    """The library's own M/G/3 waits as ours does: mean within 10 %, P(W > 0) within 5 %."""
    service = LogNormal.of_mean_cv(1.0, 0.5)
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=2.2)],
        service_distributions=[ciw.dists.Lognormal(service.mu, service.sigma)],
        number_of_servers=[3],
    )
    ciw.seed(5)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(60_000, method="Finish")
    waits = np.array([r.waiting_time for r in simulation.get_all_records() if r.arrival_date > 100.0])
    assert waits.mean() == pytest.approx(mean_delay_s(service, 3.0, 2.2), rel=0.1)
    assert (waits > 1e-9).mean() == pytest.approx(erlang_c(3, 2.2), rel=0.05)


def test_bursts_wait_longer() -> None:
    """Arrivals in batches (dispersion 2) wait longer than Poisson ones, and as long as simulated ones."""
    service = LogNormal.of_mean_cv(1.0, 0.5)
    t = np.array([0.5])
    calm = waiting(9.0, 12, service, Setting(), horizon_s=6.0).cdf(t)[0]
    bursty = waiting(9.0, 12, service, Setting(dispersion=2.0), horizon_s=6.0).cdf(t)[0]
    assert bursty < calm
    assert 1.0 - bursty == pytest.approx(_batches_wait_beyond(0.5), rel=0.25)


def _batches_wait_beyond(t: float) -> float:
    """P(W > t) with geometric batches of mean 1.5 (dispersion of counts 2) before 12 servers at 9 erlangs."""
    rng = np.random.default_rng(3)
    times = brute_force.lognormal(1.0, 0.5)
    free = np.zeros((200, 12))
    row, now, late, count = np.arange(200), np.zeros(200), 0, 0
    for step in range(6_000):
        new_batch = rng.random(200) < 1.0 / 1.5
        now = now + np.where(new_batch, rng.exponential(1.5 / 9.0, 200), 0.0)
        best = free.argmin(axis=1)
        start = np.maximum(now, free[row, best])
        free[row, best] = start + times(rng, (200,))
        if step > 1_500:
            late, count = late + int((start - now > t).sum()), count + 200
    return late / count
