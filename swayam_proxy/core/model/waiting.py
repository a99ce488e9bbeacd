"""How long a request waits when n backends share a load, for each dispatch policy.

Knows nothing of HTTP, clocks or peers' messages. Rates per second, times in seconds. This module only
chooses; each policy's theory, source and range of validity stands in its own:

- `waiting_central`: one queue before all slots;
- `waiting_random`: random dispatch, join-idle-queue;
- `waiting_counts`: p2c and least-outstanding by own counts;
- `waiting_retry`: refused when busy, tried elsewhere;
- `waiting_late`: late binding.
"""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import delays
from swayam_proxy.core.model.waiting_counts import own_counts
from swayam_proxy.core.model.waiting_late import late_binding
from swayam_proxy.core.model.waiting_random import join_idle_queue, random_dispatch, waits_of
from swayam_proxy.core.model.waiting_retry import retry
from swayam_proxy.core.vocabulary import DispatchPolicy


def central_queue(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve one queue before all slots for each number of backends."""
    servers = np.array(backends, dtype=float)[:, None] * setting.slots
    return waits_of(lattice, delays(lattice, servers, erlangs, setting.dispersion))


_OF_POLICY: dict[DispatchPolicy, Callable[[Lattice, list[int], Floats, Setting], WaitingTimes]] = {
    DispatchPolicy.RANDOM: random_dispatch,
    DispatchPolicy.LEAST_OUTSTANDING: own_counts,
    DispatchPolicy.P2C: own_counts,
    DispatchPolicy.RETRY: retry,
    DispatchPolicy.JOIN_IDLE_QUEUE: join_idle_queue,
    DispatchPolicy.CENTRAL_QUEUE: central_queue,
    DispatchPolicy.LATE_BINDING: late_binding,
}


def waiting_on(
    lattice: Lattice, rate_per_s: float | Sequence[float], backends: Sequence[int], setting: Setting
) -> WaitingTimes:
    """Return the waiting times at each number of equal backends, on a lattice already laid.

    One rate is that of all; else there is a rate for each.
    """
    rates = [rate_per_s] * len(backends) if isinstance(rate_per_s, int | float) else list(rate_per_s)
    if not backends or min(backends) < 1 or not all(0.0 <= rate < inf for rate in rates):
        raise ModelError(f"waiting needs a rate >= 0 and backends >= 1, not {rate_per_s!r} and {backends!r}")
    erlangs = np.array(rates)[:, None] * lattice.service.mean_s
    found = _OF_POLICY[setting.policy](lattice, list(backends), erlangs, setting)
    assert np.isfinite(found.zero).all() and np.isfinite(found.masses).all()
    return found


def waiting(
    rate_per_s: float, n: int, service: Distribution, setting: Setting, *, horizon_s: float
) -> WaitingTimes:
    """Return the waiting time of a request at n equal backends (one row), up to `horizon_s`."""
    return waiting_on(Lattice.of(service, horizon_s), rate_per_s, [n], setting)
