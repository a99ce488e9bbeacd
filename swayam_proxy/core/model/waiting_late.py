"""Waiting under late binding: holds at d backends, the first slot that falls free takes the oldest.

Knows service times, servers, frontends and the round trip; nothing of messages on a wire.

**Holds.** A request held at d backends, served in the order of arrival, waits exactly as if it had joined
the one of them with the least work (cancel-on-start redundancy; Ayesta, Bodas and Verloop, Perform. Eval.
122, 2018; mean field: Hellemans and Van Houdt, "On the power-of-d-choices with least loaded server
selection", Proc. ACM Meas. Anal. Comput. Syst. 2, 2018). So the level-crossing equation of `lattice` holds.
The closure is ours. Let b servers be busy with probability p_b as in M/M/n, C = p_n, X the delay of the
central queue for those who wait (`waiting_central`), and Y the work left before a busy server beyond X:

    P(V > w) = C [ (1 - 1/n) P(X + Y > w) + (1/n) P(X > w) ] + (rho - C) P(Y > w)
    P(W > w) = C [ (1 - d/n) P(X + Y_d > w) + (d/n) P(X > w) ] + q P(Y_d > w),     P(Y_d > w) = P(Y > w)^d

    q = sum over b < n of p_b t_b (b)_d / (n)_d:  all tries failed (t_b) and all d of the sample are busy.

It is exact for d = 1 (random dispatch), becomes the mean field as n grows, and the central queue for d = n.
Against simulation of d holds alone it stays within 10 % of the probability of any wait with probability
above 0.003, for n from 3 to 60, loads to 0.95, cv to 1.5.

**Tries.** With i idle slots of n and F frontends, a frontend's list of backends that told it they are idle is
empty with probability (F - 1) / (F + i - 1): the i announcements move between F lists like the customers
of a closed network of F equal queues (the large-system limit is that of Lu et al., "Join-Idle-Queue",
Perform. Eval. 68, 2011). Else, and at every further try, it picks among the backends it does not know to
be busy. Some announcements are out of date (a quarter more tries fail, fitted), and where the central
queue has all slots busy, announced ones are idle here now and then (`_FINDS_IDLE`, fitted).

**Messages.** A slot that is granted stands idle for a round trip, and so do some grants that nobody needs any
more: the load grows by 1.5 round trips for each request that was held, and such a request loses 3.5 round
trips beside its wait (two tries, hold, grant, use, answer). 1.5 and 3.5 are fitted to 260 simulated cases
(0.5 to 60 erlangs, round trips of 0.2 to 5 % of the execution time, d 2 to 6, F 1 to 32, cv 0.05 to 1.5):
there the probability of a wait that 1 % exceed is met within a factor of 0.7 to 1.5 in four cases of five,
and on the safe side more often than not; with one or two frontends it is overstated by a quarter.
"""

import numpy as np

from swayam_proxy.core.model.erlang import all_of_sample, busy_weights, erlang_c
from swayam_proxy.core.model.grid import Floats, masses_from_survival, survival_from_masses
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import delays, peakedness

_IDLE_TRIPS = 1.5
"""Round trips of a slot's time that a request costs beyond its execution when it was held."""
_HELD_TRIPS = 3.5
"""Round trips that such a request loses beside its wait."""
_FINDS_IDLE = 0.35
"""How many find an idle slot, of those who would find none before a central queue (one frontend, n large)."""
_STALE = 1.25
"""How much more often tries fail than with announcements that were always true."""
_ROUNDS_MAX = 40
_CLOSE = 1e-7


def late_binding(lattice: Lattice, backends: list[int], erlangs: float, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends."""
    trip_s = setting.round_trip_s
    servers = [n * setting.slots for n in backends]
    z = peakedness(lattice.service, setting.dispersion)
    stretched = np.empty((len(servers), 1))
    missed, retried = np.empty_like(stretched), np.empty_like(stretched)
    for row, n in enumerate(servers):
        load = erlangs
        if erlangs < n:
            held = sum(_missing(n, erlangs, z, setting)[:2])
            load = erlangs * (1.0 + _IDLE_TRIPS * held * trip_s / lattice.service.mean_s)
        stretched[row] = load
        delayed, missed[row], retried[row] = _missing(n, load, z, setting) if load < n else (1.0, 0.0, 0.0)
        retried[row] = max(0.0, retried[row, 0] - delayed - missed[row, 0])
    survival = _held_survival(lattice, np.array(servers, dtype=float)[:, None], stretched, missed, setting)
    zero = 1.0 - survival[:, 0]
    again = np.divide(retried[:, 0], zero, out=np.zeros_like(zero), where=zero > 0.0)
    return WaitingTimes(
        np.where(stretched[:, 0] < servers, zero, 0.0),
        trip_s * (1.0 + np.minimum(1.0, again)),
        np.where(stretched < np.array(servers)[:, None], masses_from_survival(survival), 0.0),
        lattice.points_s + _HELD_TRIPS * trip_s,
    )


def _missing(servers: int, erlangs: float, z: float, setting: Setting) -> tuple[float, float, float]:
    """P(all busy), P(tries and holds all miss the idle ones), P(the first try fails)."""
    delayed = erlang_c(servers, erlangs, z)
    if erlangs <= 0.0:
        return 0.0, 0.0, 0.0
    busy, weights = busy_weights(servers, erlangs, delayed, z)
    first, tries = _tries_fail(busy, servers, setting)
    held = all_of_sample(busy, servers, setting.holds_count * setting.slots)
    return (
        delayed,
        min(1.0 - delayed, _STALE * float(weights @ (tries * held))),
        delayed + float(weights @ first),
    )


def _tries_fail(busy: Floats, servers: int, setting: Setting) -> tuple[Floats, Floats]:
    """P(the first try fails), P(all tries fail), given how many are busy."""
    frontends, slots = setting.frontends_count, setting.slots
    idle = servers - busy
    unlisted = (frontends - 1.0) / np.maximum(frontends + idle / slots - 1.0, 1e-9)
    all_fail = np.ones_like(busy)
    first = all_fail
    for k in range(setting.tries_count):
        known = busy / frontends + k
        among = np.maximum(servers - known, 1e-9)
        fails = np.clip(1.0 - idle / among, 0.0, 1.0) ** slots
        if k == 0:
            fails = fails * np.minimum(1.0, unlisted)
            first = fails
        all_fail = all_fail * fails
    return first, all_fail


def _held_survival(
    lattice: Lattice, servers: Floats, erlangs: Floats, missed: Floats, setting: Setting
) -> Floats:
    """P(W > point), one row per number of servers, by repeated substitution: about a digit a round."""
    loads = np.minimum(erlangs / servers, 1.0)
    central = delays(lattice, servers, erlangs, setting.dispersion)
    delayed, series = central.probability, central.series
    masses = np.maximum(lattice.circle.values(series), 0.0)
    all_busy = survival_from_masses(masses)
    holds = np.minimum(setting.holds_count * setting.slots, servers)
    apart, held_apart = 1.0 - 1.0 / servers, 1.0 - holds / servers
    waits = delayed * (1.0 - _FINDS_IDLE * held_apart * 3.0 / (2.0 + setting.frontends_count))
    elsewhere = np.maximum(loads - delayed, 0.0)
    circle = lattice.circle
    divisor = elsewhere + delayed * apart * series
    divisor = np.where(np.abs(divisor) > 1e-12, divisor, 1.0)
    work = np.repeat(lattice.residual_survival[None, :], len(servers), axis=0)
    survival = work
    for _ in range(_ROUNDS_MAX):
        least = work**holds
        both = circle.values(series * circle.series(least)) - 0.5 * masses
        survival = waits * (all_busy + held_apart * both) + missed * least
        survival[:, :1] = waits + missed
        crossing = lattice.work_survival(loads, np.clip(survival, 0.0, 1.0))
        rest = crossing - delayed * (all_busy - 0.5 * apart * masses)
        rest[:, :1] = loads - delayed * (1.0 - apart * masses[:, :1])
        found = np.clip(circle.values(circle.series(rest) / divisor), 0.0, 1.0)
        found[:, 0] = 1.0
        change = float(np.max(np.abs(found - work)))
        work = found
        if change < _CLOSE:
            break
    return np.minimum.accumulate(np.clip(survival, 0.0, 1.0), axis=-1)
