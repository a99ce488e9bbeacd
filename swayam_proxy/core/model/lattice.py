"""A service time laid on a grid from 0 to the longest wait of interest, and the level-crossing equation.

Knows one service time and one horizon; nothing of servers or dispatch.

Where requests queue at the backends, first come first served, let V be the work before a backend at a
random moment and W the work before the backend that an arrival is sent to. Every crossing of a level w
downwards (at speed 1) is matched by one upwards, so whatever the dispatch does

    P(V > w) = rho [ P(R > w) + integral from 0 to w of P(W > w - x) dP(R <= x) ],

R the residual service time, rho the load of a backend (P. H. Brill and M. J. M. Posner, Oper. Res. 25,
1977; L. Takács). It is exact. A dispatch policy is a second equation, the closure, that gives W from V:
W = V for random dispatch, which makes it the Pollaczek-Khinchine formula.
"""

from dataclasses import dataclass, field

import numpy as np

from swayam_proxy.core.model.grid import Circle, Complexes, Floats, circle, masses_from_limited_mean
from swayam_proxy.core.model.service_time import Distribution

POINTS_COUNT = 192
"""Points of the grid; errors fall with their square. Of 329 random questions to all policies, four had
another n on a grid ten times as fine: by one or by 1 %, all in promises that are just about possible."""
KEPT_MAX = 4
"""Some 100 kB."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """A grid from 0 to a horizon, and the service time read at its points."""

    service: Distribution
    step_s: float
    circle: Circle
    edges_s: Floats
    """0, h, ..., one point more than the grid has."""
    residual_log_survival: Floats
    """Logarithm of P(R > edge)."""
    residual: Floats
    """Masses of R on the grid."""
    residual_series: Complexes
    _residual_beyond: Floats
    """The part of each mass that comes from above its point."""
    kept: dict[tuple[float, ...], tuple[Complexes, Complexes]] = field(default_factory=dict, compare=False)
    """What `waiting_central` has made of it, by speed and servers; at most `KEPT_MAX` entries."""

    @classmethod
    def of(cls, service: Distribution, horizon_s: float, points_count: int = POINTS_COUNT) -> "Lattice":
        """Lay `points_count` points from 0 to `horizon_s` inclusive."""
        step = horizon_s / (points_count - 1)
        edges = np.arange(points_count + 1) * step
        survival = np.clip(1.0 - service.limited_mean(edges) / service.mean_s, 1e-300, 1.0)
        limited = service.residual_limited_mean(edges)
        masses = masses_from_limited_mean(limited, step)
        beyond = np.array(masses)
        beyond[1:] -= np.maximum((limited[1:-1] - limited[:-2]) / step - survival[1:-1], 0.0)
        points = circle(points_count)
        return cls(
            service,
            step,
            points,
            edges,
            np.log(survival),
            masses,
            points.series(masses),
            np.maximum(beyond, 0.0),
        )

    @property
    def points_s(self) -> Floats:
        """The grid's points."""
        return self.edges_s[:-1]

    @property
    def residual_survival(self) -> Floats:
        """P(R > point)."""
        return np.exp(self.residual_log_survival[:-1])

    def residual_masses(self, speed: Floats) -> Floats:
        """Masses of the residual time of a service that runs `speed` (a column) times as fast."""
        limited = self.service.residual_limited_mean(self.edges_s * speed) / speed
        return masses_from_limited_mean(limited, self.step_s)

    def crossing_series(self, loads: Floats, found_busy: Floats) -> Complexes:
        """Series of the level-crossing equation's right side beside rho residual_series series(P(W > point)).

        P(W > 0) is asked for since that function jumps there. Columns in, one row each out.
        """
        return loads * self.circle.series(self.residual_survival - self._residual_beyond * found_busy)
