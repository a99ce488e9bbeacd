"""How long a request waits when n backends share a load, for each dispatch policy.

Knows nothing of HTTP, clocks or peers' messages. Rates per second, times in seconds.

One answer for all: a probability of not waiting at all, and masses on a grid for those who wait. Each
policy's theory, source and range of validity stands at its own function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.erlang import all_of_sample_busy, erlang_c
from swayam_proxy.core.model.grid import Floats
from swayam_proxy.core.model.service_time import Distribution
from swayam_proxy.core.model.waiting_central import Lattice, delayed_series, mean_delay_s
from swayam_proxy.core.vocabulary import DispatchPolicy


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds the queue beside rate, backends and service time."""

    policy: DispatchPolicy = DispatchPolicy.CENTRAL_QUEUE
    slots: int = 1
    """Requests that one backend runs at once."""
    frontends_count: int = 1
    round_trip_s: float = 0.0
    """Between frontend and backend; late binding and retry pay it, the others do not see it."""
    holds_count: int = 3
    """Backends at which late binding holds a request that found no free slot."""
    dispersion: float = 1.0
    """Variance over mean of arrival counts; 1 is Poisson."""

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.slots < 1 or self.frontends_count < 1 or self.holds_count < 1:
            raise ModelError("slots, frontends and holds are counted from 1")
        if not (0.0 <= self.round_trip_s < inf) or not (0.0 < self.dispersion < inf):
            raise ModelError("the round trip must be finite and >= 0, the dispersion finite and > 0")


@dataclass(frozen=True, slots=True)
class WaitingTime:
    """A waiting time as far as the grid reaches.

    `zero` is P(W = 0); `masses[j]` the probability of a waiting time near j * step_s, without `zero`.
    What is missing to 1 waits longer than the grid. An overloaded queue has neither: everyone waits
    for ever.
    """

    zero: float
    masses: Floats
    step_s: float
    mean_s: float

    def cdf(self, t: Floats) -> Floats:
        """P(W <= t) for times up to the grid's end; beyond it the value there."""
        at = np.arange(self.masses.size) * self.step_s
        upto = self.zero + np.cumsum(self.masses) - 0.5 * self.masses
        return np.where(t < 0.0, 0.0, np.minimum(1.0, np.interp(t, at, upto)))


def _nobody_served(lattice: Lattice) -> WaitingTime:
    return WaitingTime(0.0, np.zeros(lattice.edges.size - 1), lattice.step_s, inf)


def _queue(lattice: Lattice, servers: int, erlangs: float) -> WaitingTime:
    """M/G/n, first come first served."""
    load = erlangs / servers
    if load >= 1.0:
        return _nobody_served(lattice)
    delayed = erlang_c(servers, erlangs)
    masses = delayed * lattice.circle.masses(delayed_series(lattice, float(servers), load))
    return WaitingTime(
        1.0 - delayed, masses, lattice.step_s, mean_delay_s(lattice.service, float(servers), load)
    )


def _central(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """One queue before all slots."""
    return _queue(lattice, n * setting.slots, erlangs)


def _random(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """Each backend has its own queue and an n-th of the arrivals: exact for one slot."""
    return _queue(lattice, setting.slots, erlangs / n)


def _own_counts(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """Each of F frontends avoids the backends where it has requests of its own.

    First version: at a backend the chain of requests found ahead is that of M/G/1 with its ratio falling
    from rho (1 - 1/F), since a frontend never finds its own; in front of it the central queue.
    """
    load = erlangs / (n * setting.slots)
    if load >= 1.0:
        return _nobody_served(lattice)
    central = _queue(lattice, n * setting.slots, erlangs)
    others = load * (1.0 - 1.0 / setting.frontends_count)
    if others <= 0.0:
        return central
    behind = _queue(lattice, setting.slots, others * setting.slots)
    circle = lattice.circle
    both = circle.masses(circle.series(_whole(central)) * circle.series(_whole(behind)))
    zero = central.zero * behind.zero
    both[0] = max(0.0, both[0] - zero)
    return WaitingTime(zero, both, lattice.step_s, central.mean_s + behind.mean_s)


def _whole(waiting: WaitingTime) -> Floats:
    masses = waiting.masses.copy()
    masses[0] += waiting.zero
    return masses


def _join_idle_queue(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """Idle backends announce themselves at one frontend; without an announcement, a random backend.

    Lu et al., "Join-Idle-Queue", Performance Evaluation 68 (2011): with r = n/F backends a frontend and
    load rho, a frontend's list of idle backends is empty with probability e, (1-e)/e = r (1 - rho); the
    busy backends then see M/G/1 at load e rho.
    """
    load = erlangs / (n * setting.slots)
    if load >= 1.0:
        return _nobody_served(lattice)
    empty = 1.0 / (1.0 + n * setting.slots / setting.frontends_count * (1.0 - load))
    random = _queue(lattice, setting.slots, empty * load * setting.slots)
    central = _queue(lattice, n * setting.slots, erlangs)
    delayed = max(empty * load, 1.0 - central.zero)
    share = delayed / (1.0 - random.zero) if random.zero < 1.0 else 0.0
    return WaitingTime(1.0 - delayed, random.masses * share, lattice.step_s, random.mean_s * share)


def _retry(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """Refused at a busy backend, a request tries another at random: a central queue without order.

    First version: the waiting time of M/G/n served in random order, taken as a mixture of two central
    queues whose waits are stretched.
    """
    return _stretched(_late(lattice, n, erlangs, setting), 1.0 + 0.8 * erlangs / (n * setting.slots))


def _stretched(waiting: WaitingTime, factor: float) -> WaitingTime:
    at = np.arange(waiting.masses.size)
    upto = np.interp((at + 0.5) / factor, at + 0.5, np.cumsum(waiting.masses), left=0.0)
    return WaitingTime(waiting.zero, np.diff(upto, prepend=0.0), waiting.step_s, waiting.mean_s)


def _late(lattice: Lattice, n: int, erlangs: float, setting: Setting) -> WaitingTime:
    """A slot is bound when it falls free: near a central queue.

    First version: the central queue with each service longer by a round trip (the idle time of a grant),
    and beside it those who wait at d busy slots while another is idle.
    """
    servers = n * setting.slots
    stretched = erlangs * (1.0 + setting.round_trip_s / lattice.service.mean_s)
    central = _queue(lattice, servers, stretched)
    missed = all_of_sample_busy(servers, min(stretched, servers), setting.holds_count)
    if central.mean_s == inf or missed <= 0.0:
        return central
    some = lattice.least_residual_masses(float(setting.holds_count))
    masses = central.masses + missed * some
    return WaitingTime(max(0.0, central.zero - missed), masses, lattice.step_s, central.mean_s)


_OF_POLICY: dict[DispatchPolicy, Callable[[Lattice, int, float, Setting], WaitingTime]] = {
    DispatchPolicy.RANDOM: _random,
    DispatchPolicy.LEAST_OUTSTANDING: _own_counts,
    DispatchPolicy.P2C: _own_counts,
    DispatchPolicy.RETRY: _retry,
    DispatchPolicy.JOIN_IDLE_QUEUE: _join_idle_queue,
    DispatchPolicy.CENTRAL_QUEUE: _central,
    DispatchPolicy.LATE_BINDING: _late,
}


def waiting_on(lattice: Lattice, rate_per_s: float, n: int, setting: Setting) -> WaitingTime:
    """Return the waiting time of a request at n equal backends, on a lattice already laid."""
    if not 0.0 <= rate_per_s < inf or n < 1:
        raise ModelError(f"waiting needs a rate >= 0 and at least one backend, not {rate_per_s!r} and {n!r}")
    erlangs = rate_per_s * lattice.service.mean_s
    return _OF_POLICY[setting.policy](lattice, n, erlangs, setting)


def waiting(
    rate_per_s: float, n: int, service: Distribution, setting: Setting, *, horizon_s: float
) -> WaitingTime:
    """Return the waiting time of a request at n equal backends, up to `horizon_s`."""
    return waiting_on(Lattice.of(service, horizon_s), rate_per_s, n, setting)
