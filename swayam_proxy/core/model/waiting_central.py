"""Waiting in one queue before many servers (M/G/n), and before one (M/G/1), on a grid.

Knows service times and servers; nothing of dispatch, frontends or promises.

With probability C (Erlang's delay formula at n servers and a erlangs) an arrival waits, and then its
waiting time is

    W | W > 0  =  A + B_1 + ... + B_K,     P(K = k) = (1 - rho) rho^k,   rho = a / n,

A = the least of n independent residual service times, B_i = the residual time of a service n times as
fast. It is the approximation of Tijms, van Hoorn and Federgruen (Adv. Appl. Prob. 13, 1981, "Approximations
for the steady-state probabilities in the M/G/c queue"; Tijms, "A First Course in Stochastic Models" 2003,
section 9.6.2) with the arrivals of a waiting time read as a waiting time (distributional Little law).

Exact for n = 1 (the Pollaczek-Khinchine formula: A and B are both the residual time) and for exponential
service (A and B are exponential with rate n / m). For other service times the probability of waiting is
that of M/M/n, which is within a few per cent for cv <= 1.5.
"""

from dataclasses import dataclass

import numpy as np

from swayam_proxy.core.model.erlang import erlang_c
from swayam_proxy.core.model.grid import (
    Circle,
    Complexes,
    Floats,
    limited_mean_from_log_survival,
    masses_from_limited_mean,
)
from swayam_proxy.core.model.service_time import Distribution

POINTS_COUNT = 256
"""Points of the grid. The error of an attainment falls with its square; 256 keep it below 1e-5 here."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """A grid from 0 to a horizon, and the service time read at its points."""

    service: Distribution
    step_s: float
    circle: Circle
    edges: Floats
    """0, h, ..., one point more than there are masses."""
    residual_log_survival: Floats
    """Logarithm of P(R > edge)."""

    @classmethod
    def of(cls, service: Distribution, horizon_s: float, points_count: int = POINTS_COUNT) -> "Lattice":
        """Lay `points_count` points from 0 to `horizon_s` inclusive."""
        step = horizon_s / (points_count - 1)
        edges = np.arange(points_count + 1) * step
        survival = 1.0 - service.limited_mean(edges) / service.mean_s
        return cls(service, step, _circle(points_count), edges, np.log(np.clip(survival, 1e-300, 1.0)))

    def residual_masses(self, speed: float) -> Floats:
        """Masses of the residual time of a service that runs `speed` times as fast."""
        limited = self.service.residual_limited_mean(self.edges * speed) / speed
        return masses_from_limited_mean(limited, self.step_s)

    def least_residual_masses(self, count: float) -> Floats:
        """Masses of the least of `count` independent residual times."""
        limited = limited_mean_from_log_survival(count * self.residual_log_survival, self.step_s)
        return masses_from_limited_mean(limited, self.step_s)

    def geometric(self, masses: Floats, load: float) -> Complexes:
        """Series of a sum of K terms, P(K = k) = (1 - load) load^k."""
        return (1.0 - load) / (1.0 - load * self.circle.series(masses))


_CIRCLES: dict[int, Circle] = {}
_GAUSS = np.polynomial.legendre.leggauss(64)


def _circle(points_count: int) -> Circle:
    found = _CIRCLES.get(points_count)
    if found is None:
        found = _CIRCLES[points_count] = Circle(points_count)
    return found


def delayed_series(lattice: Lattice, servers: float, load: float) -> Complexes:
    """Series of the waiting time of those who wait, at `servers` servers with this load per server < 1."""
    if servers == 1.0:
        masses = lattice.residual_masses(1.0)
        return lattice.circle.series(masses) * lattice.geometric(masses, load)
    first = lattice.circle.series(lattice.least_residual_masses(servers))
    return first * lattice.geometric(lattice.residual_masses(servers), load)


def least_residual_mean_s(service: Distribution, count: float) -> float:
    """Mean of the least of `count` residual times, by Gauss-Legendre quadrature over 20 means."""
    if count == 1.0:
        return service.second_moment / (2.0 * service.mean_s)
    nodes, weights = _GAUSS
    mean, total, left = service.mean_s, 0.0, 0.0
    for right in (1.0 / count, 4.0 / count, 20.0 / count, 1.0, 3.0, 20.0, 200.0):
        if right <= left:
            continue
        half = 0.5 * (right - left) * mean
        x = left * mean + half * (nodes + 1.0)
        survival = np.clip(1.0 - service.limited_mean(x) / mean, 0.0, 1.0)
        total += half * float(weights @ survival**count)
        left = right
    return total


def mean_delay_s(service: Distribution, servers: float, load: float) -> float:
    """Mean waiting time over all arrivals; inf where the load cannot be carried."""
    if load >= 1.0:
        return float("inf")
    residual_s = service.second_moment / (2.0 * service.mean_s)
    behind_s = load / (1.0 - load) * residual_s / servers
    return erlang_c(servers, load * servers) * (least_residual_mean_s(service, servers) + behind_s)
