"""Response time = waiting + execution: the share of requests that meet a threshold.

Knows distributions only. P(R <= t) = P(W = 0) F_S(t) + sum over the grid of w_j F_S(t - t_j): the
execution time is never rounded, so that only the waiting time's grid error remains.
"""

from collections.abc import Sequence

import numpy as np

from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.lattice import POINTS_COUNT, Lattice
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting import waiting_on
from swayam_proxy.core.vocabulary import DispatchPolicy

_WITH_MESSAGES = (DispatchPolicy.LATE_BINDING, DispatchPolicy.RETRY)
_LEAST_SHARE = 1e-9
"""Executions faster than all but this share are not worth a place on the grid."""


class ResponseTarget:
    """One service and one threshold, prepared so that many n can be tried cheaply."""

    __slots__ = ("_response_time_s", "_service", "best_share", "lattice")

    def __init__(
        self, service: Distribution, response_time_s: float, points_count: int = POINTS_COUNT
    ) -> None:
        """Lay the grid up to the longest wait after which the fastest execution is still in time."""
        self._service = service
        self._response_time_s = response_time_s
        longest_wait_s = response_time_s - service.quantile(_LEAST_SHARE)
        self.lattice = Lattice.of(service, longest_wait_s, points_count) if longest_wait_s > 0.0 else None
        self.best_share = self._in_time(0.0)
        """P(S <= threshold): what infinitely many backends without messages reach."""

    def _in_time(self, waited_s: float) -> float:
        return float(self._service.cdf(np.array([self._response_time_s - waited_s]))[0])

    def share_unqueued(self, setting: Setting) -> float:
        """Share answered within the threshold when nobody waits: messages and execution alone."""
        return self._in_time(setting.round_trip_s if setting.policy in _WITH_MESSAGES else 0.0)

    def attainment(
        self, rate_per_s: float | Sequence[float], backends: Sequence[int], setting: Setting
    ) -> Floats:
        """Share of requests answered within the threshold at each number of equal backends.

        One rate is that of all; else there is a rate for each.
        """
        if self.lattice is None:
            return np.zeros(len(backends))
        return self.attainment_of(waiting_on(self.lattice, rate_per_s, backends, setting))

    def attainment_of(self, waiting: WaitingTimes) -> Floats:
        """Share of requests answered within the threshold, given their waiting times."""
        at_once = self._service.cdf(self._response_time_s - waiting.zero_delay_s)
        later = self._service.cdf(self._response_time_s - waiting.delays_s)
        return np.clip(waiting.zero * at_once + waiting.masses @ later, 0.0, self.best_share)
