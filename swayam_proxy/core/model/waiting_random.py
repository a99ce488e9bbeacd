"""Waiting at backends that are chosen blindly, or by the announcements of idle ones.

Knows service times, backends, slots and frontends.

**Random.** Each backend has an n-th of the arrivals and its own queue: M/G/1 exactly (`waiting_central`
with one server), M/G/c for c slots. Bursts thin out: a stream with dispersion I, split among n at random,
has dispersion 1 + (I - 1)/n at each.

**Join-idle-queue.** A backend that falls idle lists itself at one random frontend, and leaves the list when
it gets a request. A frontend sends to a listed backend; without one, to any at random, where the request
may wait. With i idle backends a frontend's list is empty with probability e_i = (F - 1)/(F + i - 1) (a closed
network of F equal queues; its large-system limit is that of Lu et al., "Join-Idle-Queue", Perform. Eval.
68, 2011). The closure of the level-crossing equation (`lattice`) is P(W > w) = P(W > 0)/rho P(V > w), so
that those who wait do so as in M/G/1 at load P(W > 0). The number of busy backends is a birth and death
chain: births a (1 - e_i b/n), deaths kappa b with the kappa at which the mean is a.

Against simulation within 10 % for F >= 2 (n 2 to 50, loads to 0.9); with one frontend the tail is too light
by up to a half, since backends then are busy together.
"""

from math import log

import numpy as np

from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import Delays, delays

_LOG_RATE_EXACT = 1e-9


def waits_of(lattice: Lattice, found: Delays) -> WaitingTimes:
    """The waiting time of all arrivals from that of those who wait."""
    masses = found.probability * np.maximum(lattice.circle.values(found.series), 0.0)
    zero = 1.0 - found.probability[:, 0]
    return WaitingTimes(zero, np.zeros_like(zero), masses, lattice.points_s)


def random_dispatch(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends and its load (a column)."""
    n = np.array(backends, dtype=float)[:, None]
    slots = np.full_like(n, setting.slots)
    thinned = 1.0 + (setting.dispersion - 1.0) / float(n.min())
    return waits_of(lattice, delays(lattice, slots, erlangs / n, thinned))


def join_idle_queue(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends and its load (a column)."""
    n = np.array(backends, dtype=float)[:, None]
    slots = setting.slots
    found_busy = np.array(
        [
            [_finds_busy(k * slots, load, setting.frontends_count)]
            for k, load in zip(backends, erlangs[:, 0].tolist(), strict=True)
        ]
    )
    thinned = 1.0 + (setting.dispersion - 1.0) / float(n.min())
    found = delays(lattice, np.full_like(n, slots), found_busy * slots, thinned)
    stable = erlangs < n * slots
    shares = np.where(stable, found_busy, 1.0)
    return waits_of(lattice, Delays(shares, np.where(stable, found.series, 0.0)))


def _finds_busy(servers: int, erlangs: float, frontends: int) -> float:
    """P(W > 0): no announcement, and the random backend is busy."""
    if erlangs >= servers:
        return 1.0
    if erlangs <= 0.0:
        return 0.0
    busy = np.arange(servers + 1, dtype=np.float64)
    unlisted = np.minimum(1.0, (frontends - 1.0) / np.maximum(frontends + servers - busy - 1.0, 1e-9))
    unlisted[-1] = 1.0
    waits = unlisted * busy / servers
    births = np.concatenate(
        ([0.0], np.cumsum(np.log(np.maximum(1.0 - waits[:-1], 1e-12)) - np.log(busy[1:])))
    )

    def weights(log_rate: float) -> Floats:
        logs = births + busy * log_rate
        found: Floats = np.exp(logs - logs.max())
        found /= found.sum()
        return found

    low, high = log(erlangs) - 1.0, log(erlangs) + 1.0
    while float(weights(high) @ busy) < erlangs and high < 60.0:
        high += 2.0
    # by halves: the mean only rises, and scipy's root finders cost every proxy 20 MiB to import
    while high - low > _LOG_RATE_EXACT:
        middle = (low + high) / 2.0
        if float(weights(middle) @ busy) < erlangs:
            low = middle
        else:
            high = middle
    return float(weights(high) @ waits)
