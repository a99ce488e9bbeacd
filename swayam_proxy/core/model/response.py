"""Response time = waiting + execution: the share of requests that meet a threshold.

Knows distributions only. P(R <= t) = P(W = 0) F_S(t) + sum over the grid of w_j F_S(t - t_j): the
execution time is never rounded, so that only the waiting time's grid error remains.
"""

import numpy as np

from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.waiting import Setting, WaitingTime, waiting_on
from swayam_proxy.core.model.waiting_central import POINTS_COUNT, Lattice

_LEAST_SHARE = 1e-9
"""Executions faster than all but this share are not worth a place on the grid."""


class ResponseTarget:
    """One service and one threshold, prepared so that many n can be tried cheaply."""

    __slots__ = ("_served_within", "best_share", "lattice")

    def __init__(
        self, service: Distribution, response_time_s: float, points_count: int = POINTS_COUNT
    ) -> None:
        longest_wait_s = response_time_s - service.quantile(_LEAST_SHARE)
        self.best_share = float(service.cdf(np.array([response_time_s]))[0])
        """P(S <= threshold): what infinitely many backends reach."""
        self.lattice: Lattice | None = None
        self._served_within: Floats | None = None
        if longest_wait_s > 0.0:
            self.lattice = Lattice.of(service, longest_wait_s, points_count)
            self._served_within = service.cdf(response_time_s - self.lattice.edges[:-1])

    def attainment(self, rate_per_s: float, n: int, setting: Setting) -> float:
        """Share of requests answered within the threshold at n equal backends."""
        if self.lattice is None or self._served_within is None:
            return 0.0
        return self.attainment_of(waiting_on(self.lattice, rate_per_s, n, setting))

    def attainment_of(self, waiting: WaitingTime) -> float:
        """Share of requests answered within the threshold, given their waiting time on this lattice."""
        if self._served_within is None:
            return 0.0
        waited = float(waiting.masses @ self._served_within)
        return min(self.best_share, max(0.0, waiting.zero * self.best_share + waited))
