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
Perform. Eval. 68, 2011). Else it picks among the backends it does not know to be busy. Announcements get out
of date: tries fail a quarter more often (fitted). A backend that ends a request and has no hold tells the
frontend of that request, which sends one that waits there: as if a share 0.6/F of the other backends held
it, too (fitted).

**Messages.** A slot that is granted stands idle for a round trip, and so do some grants that nobody needs any
more: the load grows by two round trips for each request that was held, and such a request loses three beside
its wait (fitted; tries, hold, grant, use, answer).

The four numbers are fitted to 218 cases played out message by message (tests/core/model/brute_force_late.py;
0.5 to 60 erlangs, round trips of 0.2 to 5 % of the execution time, d 2 to 6, F 1 to 32, cv 0.05 to 1.5, loads
to 0.97), a little on the safe side: at round trips of 1 %, P(W > w) between 0.003 and 0.1 is overstated by an
eighth in the median, by 0.6 to 1.6 times in nine cases of ten. That is less than one backend's worth:
docs/model-validation.md.
"""

from dataclasses import dataclass

import numpy as np

from swayam_proxy.core.model.erlang import all_of_sample, busy_weights, erlang_c
from swayam_proxy.core.model.grid import Floats, masses_from_survival, survival_from_masses
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import delays, peakedness

HOLDS_COUNT = 3
HOLDS_COUNT_TIGHT = 6
TIGHT_MEANS = 2.5
"""A promise of less than so many mean executions is tight: more holds bring it near a central queue."""
_IDLE_TRIPS = 2.0
"""Round trips of a slot's time that a request costs beyond its execution when it was held."""
_HELD_TRIPS = 3.0
"""Round trips that such a request loses beside its wait."""
_ALSO_OWN = 0.6
"""Of its own backends that end a request unheld, how many serve a request that waits in the same frontend."""
_STALE = 1.25
"""How much more often tries fail than with announcements that were always true."""
_ROUNDS_MAX = 40
_CLOSE = 2e-6


def holds_for(response_time_s: float, execution_mean_s: float) -> int:
    """Return at how many backends to hold a request, for dispatch and model alike."""
    return HOLDS_COUNT_TIGHT if response_time_s < TIGHT_MEANS * execution_mean_s else HOLDS_COUNT


def late_binding(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends and its load (a column)."""
    trip_s = setting.round_trip_s
    servers = np.array(backends, dtype=float)[:, None] * setting.slots
    z = peakedness(lattice.service, setting.dispersion)
    misses = _misses(servers, erlangs, z, setting)
    idling = _IDLE_TRIPS * trip_s / lattice.service.mean_s
    loaded = erlangs * (1.0 + idling * (misses.all_busy + misses.missed))
    misses = _misses(servers, loaded, z, setting)
    survival = _held_survival(lattice, servers, loaded, misses.missed, setting)
    stable = loaded < servers
    zero = np.where(stable[:, 0], 1.0 - survival[:, 0], 0.0)
    again = np.maximum(misses.first - survival[:, 0], 0.0)
    again = np.divide(again, zero, out=np.zeros_like(zero), where=zero > 0.0)
    return WaitingTimes(
        zero,
        trip_s * (1.0 + np.minimum(1.0, again)),
        np.where(stable, masses_from_survival(survival), 0.0),
        lattice.points_s + _HELD_TRIPS * trip_s,
    )


@dataclass(frozen=True, slots=True)
class _Misses:
    """Columns: P(all slots busy), P(tries and holds miss the idle ones); a row: P(the first try fails)."""

    all_busy: Floats
    missed: Floats
    first: Floats


def _misses(servers: Floats, erlangs: Floats, z: float, setting: Setting) -> _Misses:
    pairs = zip(servers[:, 0].tolist(), erlangs[:, 0].tolist(), strict=True)
    all_busy = np.array([[erlang_c(n, a, z)] for n, a in pairs])
    busy, weights = busy_weights(servers, np.minimum(erlangs, servers), all_busy, z)
    first, tries = _tries_fail(busy, servers, setting)
    held = all_of_sample(busy, servers, setting.holds_count * setting.slots)
    missed = (weights * tries * held).sum(axis=1, keepdims=True)
    return _Misses(
        all_busy, np.minimum(1.0 - all_busy, missed), all_busy[:, 0] + (weights * first).sum(axis=1)
    )


def _tries_fail(busy: Floats, servers: Floats, setting: Setting) -> tuple[Floats, Floats]:
    """P(the first try fails), P(all tries fail), given how many are busy."""
    frontends, slots = setting.frontends_count, setting.slots
    idle = np.maximum(servers - busy, 0.0)
    if not setting.tries_count:
        return np.ones_like(idle), np.ones_like(idle)
    known = servers - busy / frontends
    unlisted = np.minimum(1.0, (frontends - 1.0) / np.maximum(frontends + idle / slots - 1.0, 1e-9))
    first = unlisted * np.clip(1.0 - idle / np.maximum(known, 1e-9), 0.0, 1.0) ** slots
    all_fail = first
    for k in range(1, setting.tries_count):
        all_fail = all_fail * np.clip(1.0 - idle / np.maximum(known - k, 1e-9), 0.0, 1.0) ** slots
    return first, np.minimum(1.0, _STALE * all_fail)


def _held_survival(
    lattice: Lattice, servers: Floats, erlangs: Floats, missed: Floats, setting: Setting
) -> Floats:
    """P(W > point), one row per number of servers, by repeated substitution: about a digit a round.

    Both equations are linear but for P(Y > w)^d, so that a round takes one transform there and one back. A
    survival function jumps at 0, where the mass of a grid point counts half: hence the corrections.
    """
    circle = lattice.circle
    loads = np.minimum(erlangs / servers, 1.0)
    central = delays(lattice, servers, erlangs, setting.dispersion)
    series, delayed = central.series, central.probability
    masses = np.maximum(circle.values(series), 0.0)
    at_zero = masses[:, :1]
    all_busy = survival_from_masses(masses)
    placed = np.minimum(float(setting.holds_count * setting.slots), servers)
    holds = placed + (servers - placed) * (
        _ALSO_OWN / setting.frontends_count if setting.tries_count else 0.0
    )
    apart, held_apart = 1.0 - 1.0 / servers, 1.0 - holds / servers

    # P(W > w) = fixed + through P(Y > w)^d
    fixed = circle.series(all_busy - 0.5 * held_apart * masses)
    fixed = delayed * (fixed - 0.5 * held_apart * at_zero)
    through = delayed * held_apart * series + missed
    # P(Y > w) = rest + back P(W > w)
    divisor = np.maximum(loads - delayed, 0.0) + delayed * apart * series
    divisor = np.where(np.abs(divisor) > 1e-12, divisor, 1.0)
    rest = lattice.crossing_series(loads, delayed + missed)
    rest = (
        rest - delayed * (circle.series(all_busy - 0.5 * apart * masses) - 0.5 * apart * at_zero)
    ) / divisor
    back = loads * lattice.residual_series / divisor

    work = np.repeat(lattice.residual_survival[None, :], len(servers), axis=0)
    wait_series = fixed
    for _ in range(_ROUNDS_MAX):
        wait_series = fixed + through * circle.series(work**holds)
        found = circle.values(rest + back * wait_series)
        np.clip(found, 0.0, 1.0, out=found)
        found[:, 0] = 1.0
        change = float(np.abs(found - work).max())
        work = found
        if change < _CLOSE:
            break
    survival = circle.values(wait_series)
    survival[:, :1] = delayed + missed
    return np.minimum.accumulate(np.clip(survival, 0.0, 1.0), axis=-1)
