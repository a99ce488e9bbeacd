"""What surrounds a queue beside rate, backends and service time; and the waiting time that comes of it.

Plain values, no formulas.
"""

from dataclasses import dataclass
from math import inf

import numpy as np

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.vocabulary import DispatchPolicy


@dataclass(frozen=True, slots=True)
class Setting:
    """How requests come to the backends."""

    policy: DispatchPolicy = DispatchPolicy.CENTRAL_QUEUE
    slots: int = 1
    """Requests that one backend runs at once."""
    frontends_count: int = 1
    round_trip_s: float = 0.0
    """Between frontend and backend; late binding and retry pay it, for the others it is part of execution."""
    holds_count: int = 3
    """Backends at which late binding holds a request that found no free slot."""
    tries_count: int = 2
    """Backends that late binding tries before it holds."""
    dispersion: float = 1.0
    """Variance over mean of arrival counts; 1 is Poisson, and what is smoother counts as Poisson."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if min(self.slots, self.frontends_count, self.holds_count) < 1 or self.tries_count < 0:
            raise ModelError("slots, frontends and holds are counted from 1, tries from 0")
        if not (0.0 <= self.round_trip_s < inf) or not (0.0 < self.dispersion < inf):
            raise ModelError("the round trip must be finite and >= 0, the dispersion finite and > 0")


@dataclass(frozen=True, slots=True)
class WaitingTimes:
    """Waiting times for several numbers of backends, one row each, as far as the grid reaches.

    `zero` is the probability of not waiting for a slot; those requests lose `zero_delay_s` all the same
    (messages). `masses[i, j]` is the probability of waiting near `delays_s[j]`. What is missing to 1
    waits longer than the grid; an overloaded queue has neither, everyone waits for ever.
    """

    zero: Floats
    zero_delay_s: Floats
    masses: Floats
    delays_s: Floats

    def cdf(self, t: Floats) -> Floats:
        """P(W <= t), one row per number of backends; beyond the grid's end its value there."""
        upto = np.cumsum(self.masses, axis=-1) - 0.5 * self.masses
        rows = [np.interp(t, self.delays_s, row, left=0.0) for row in upto]
        found = np.array(rows) + np.where(t >= self.zero_delay_s[:, None], self.zero[:, None], 0.0)
        return np.where(t < 0.0, 0.0, np.minimum(1.0, found))
