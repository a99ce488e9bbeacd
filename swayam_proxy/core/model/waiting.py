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
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import delays
from swayam_proxy.core.model.waiting_counts import own_counts
from swayam_proxy.core.model.waiting_late import late_binding
from swayam_proxy.core.model.waiting_random import join_idle_queue, random_dispatch, waits_of
from swayam_proxy.core.model.waiting_retry import retry
from swayam_proxy.core.vocabulary import DispatchPolicy


def central_queue(lattice: Lattice, backends: list[int], erlangs: float, setting: Setting) -> WaitingTimes:
    """Solve one queue before all slots for each number of backends."""
    servers = np.array(backends, dtype=float)[:, None] * setting.slots
    return waits_of(lattice, delays(lattice, servers, np.full_like(servers, erlangs), setting.dispersion))


_OF_POLICY: dict[DispatchPolicy, Callable[[Lattice, list[int], float, Setting], WaitingTimes]] = {
    DispatchPolicy.RANDOM: random_dispatch,
    DispatchPolicy.LEAST_OUTSTANDING: own_counts,
    DispatchPolicy.P2C: own_counts,
    DispatchPolicy.RETRY: retry,
    DispatchPolicy.JOIN_IDLE_QUEUE: join_idle_queue,
    DispatchPolicy.CENTRAL_QUEUE: central_queue,
    DispatchPolicy.LATE_BINDING: late_binding,
}


def waiting_on(
    lattice: Lattice, rate_per_s: float, backends: Sequence[int], setting: Setting
) -> WaitingTimes:
    """Return the waiting times at each number of equal backends, on a lattice already laid."""
    if not 0.0 <= rate_per_s < inf or not backends or min(backends) < 1:
        raise ModelError(f"waiting needs a rate >= 0 and backends >= 1, not {rate_per_s!r} and {backends!r}")
    found = _OF_POLICY[setting.policy](lattice, list(backends), rate_per_s * lattice.service.mean_s, setting)
    assert np.isfinite(found.zero).all() and np.isfinite(found.masses).all()
    return found


def waiting(
    rate_per_s: float, n: int, service: Distribution, setting: Setting, *, horizon_s: float
) -> WaitingTimes:
    """Return the waiting time of a request at n equal backends (one row), up to `horizon_s`."""
    return waiting_on(Lattice.of(service, horizon_s), rate_per_s, [n], setting)
