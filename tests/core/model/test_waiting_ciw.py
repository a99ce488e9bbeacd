"""The library ciw, an independent simulator, plays the policies that it can express.

Late binding and retry need messages that ciw does not know; `brute_force_late` stands for them, and that is
tied to the central queue in `test_waiting`.
"""

from collections.abc import Callable

import ciw
import numpy as np
import pytest

from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.model.waiting import waiting
from swayam_proxy.core.vocabulary import DispatchPolicy

SERVICE = LogNormal.of_mean_cv(1.0, 0.5)
POINTS = np.array([0.1, 0.5, 1.0, 2.0])
CUSTOMERS = 20_000
Choose = Callable[[list[int]], int]


class Dispatcher(ciw.routing.NodeRouting):
    """Sends each arrival from the entrance to a backend, by how many are at each."""

    def __init__(self, choose: Choose) -> None:
        """Take what chooses an index from 0 among the numbers present."""
        self.choose = choose

    def next_node(self, ind: object) -> object:
        """Return the backend's node."""
        backends = self.simulation.nodes[2:-1]
        return backends[self.choose([node.number_of_individuals for node in backends])]


def played(n: int, rate: float, choose: Choose, seed: int) -> np.ndarray:
    """Waiting times at n backends with one slot each."""
    leave = [ciw.routing.Leave() for _ in range(n)]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=rate)] + [None] * n,
        service_distributions=[ciw.dists.Deterministic(0.0)]
        + [ciw.dists.Lognormal(SERVICE.mu, SERVICE.sigma) for _ in range(n)],
        number_of_servers=[float("inf")] + [1] * n,
        routing=ciw.routing.NetworkRouting(routers=[Dispatcher(choose), *leave]),
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(CUSTOMERS, method="Finish")
    records = simulation.get_all_records()
    return np.array([r.waiting_time for r in records if r.node > 1 and r.arrival_date > 100.0])


def alike(
    waits: np.ndarray, policy: DispatchPolicy, erlangs: float, n: int, frontends: int, rel: float
) -> None:
    """P(W > t) must agree where it is not rare."""
    found = 1.0 - waiting(erlangs, n, SERVICE, Setting(policy, 1, frontends), horizon_s=5.0).cdf(POINTS)[0]
    seen = np.array([(waits > t).mean() for t in POINTS])
    judged = seen > 0.01
    assert judged.sum() >= 2
    assert found[judged] == pytest.approx(seen[judged], rel=rel)


def test_random_dispatch() -> None:
    """Within 12 %: the formula is exact, the simulation short."""
    rng = np.random.default_rng(1)
    waits = played(4, 2.0, lambda present: int(rng.integers(len(present))), 1)
    alike(waits, DispatchPolicy.RANDOM, 2.0, 4, 8, 0.12)


def test_join_idle_queue_of_very_many_frontends_is_blind() -> None:
    """An idle backend is listed with one of a thousand frontends: random dispatch, within 15 %."""
    rng = np.random.default_rng(2)
    waits = played(4, 2.0, lambda present: int(rng.integers(len(present))), 2)
    alike(waits, DispatchPolicy.JOIN_IDLE_QUEUE, 2.0, 4, 1_000, 0.15)


@pytest.mark.parametrize("policy", [DispatchPolicy.P2C, DispatchPolicy.LEAST_OUTSTANDING])
def test_own_counts(policy: DispatchPolicy) -> None:
    """Four frontends, each avoiding the backends where it has a request of its own: within 20 %."""
    rng = np.random.default_rng(3)
    own = [[0.0] * 6 for _ in range(4)]
    waits = _own_counts_played(rng, own)
    alike(waits, policy, 3.0, 6, 4, 0.2)


def _own_counts_played(rng: np.random.Generator, own: list[list[float]]) -> np.ndarray:
    """Let ciw queue and serve; who has what where is read from the customers at each node."""
    origin: dict[int, int] = {}

    class ByOwnCounts(Dispatcher):
        def next_node(self, ind: ciw.Individual) -> object:
            frontend = origin[ind.id_number] = int(rng.integers(len(own)))
            backends = self.simulation.nodes[2:-1]
            mine = [
                sum(origin.get(each.id_number) == frontend for each in node.all_individuals)
                for node in backends
            ]
            least = min(mine)
            ties = [k for k, count in enumerate(mine) if count == least]
            return backends[ties[int(rng.integers(len(ties)))]]

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=3.0)] + [None] * 6,
        service_distributions=[ciw.dists.Deterministic(0.0)]
        + [ciw.dists.Lognormal(SERVICE.mu, SERVICE.sigma) for _ in range(6)],
        number_of_servers=[float("inf")] + [1] * 6,
        routing=ciw.routing.NetworkRouting(
            routers=[ByOwnCounts(lambda _: 0), *(ciw.routing.Leave() for _ in range(6))]
        ),
    )
    ciw.seed(3)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(CUSTOMERS, method="Finish")
    records = simulation.get_all_records()
    return np.array([r.waiting_time for r in records if r.node > 1 and r.arrival_date > 100.0])
