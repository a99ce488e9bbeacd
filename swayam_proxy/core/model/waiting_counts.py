"""Waiting where each frontend goes by its own counts: p2c and least-outstanding, FIFO at the backends.

Knows service times, backends, slots and frontends. With one frontend all of this is the central queue: it
knows everything, keeps the rest in its own queue, and the two policies differ in nothing that matters.

**One slot a backend.** A frontend has at most one request of its own at a backend and sends the next one
where it has none; whether it looks at two backends or at all makes no difference then. A backend that holds
k requests is closed to k of the F frontends and gets arrivals in proportion to 1 - k/F: machine repair,
M/G/1//F. The closure of the level-crossing equation (`lattice`) is

    dP(W <= v) proportional to E[1 - K/F | V = v] dP(V <= v),   P(W > 0) = 1 - (1 - rho) / (1 - E[K]/F)

where, given K = k, the work V is taken as a residual service and k - 1 whole ones. P(K = k) has the form
it has in M/M/1//F at the same load (Erlang's loss formula, `source_rate_for`), tilted geometrically so
that the mean queue is (1 + cv^2)/2 times as long, of which only (F - 2)/(F + 2) is taken beyond 1: with few
sources a queue is short whatever varies. Random dispatch, exactly, for F -> infinity.

**In front.** That treats backends as independent. When all are busy they are so together, and what finds
every backend closed waits in the frontend: the delay of the central queue is added, 1/sqrt(F) times as long
(fitted; exact for F = 1).

Against simulation (n 2 to 50, loads 0.35 to 0.9, cv 0.3 and 1, F 2 to 32) P(W > w) is met within 15 %
where it is between 0.003 and 0.3 and loads are below 0.85; at n = 5 and load 0.9 it is up to 30 % low.

**Several slots.** A frontend may hold ceil(c/F) of a backend's c slots; the backend's numbers are those of
M/M/c//(F ceil(c/F)), its delays those of `waiting_central`. In front, each frontend is a queue of its own
before its n ceil(c/F) places: M/G/n again. Two choices are as good as all. Played out with 2 to 16 slots, 2
to 8 frontends, loads 0.69 to 0.75: within a fifth at P(W > w) above 0.02.
"""

from math import ceil, sqrt

import numpy as np
import numpy.typing as npt

from swayam_proxy.core.model.erlang import source_rate_for
from swayam_proxy.core.model.grid import Floats, masses_from_limited_mean, masses_from_survival
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.service_time import cv_squared
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import delays, least_residual_series, stretch

_PRESENT_MAX = 24
"""Requests at one backend that are told apart; more are rare where anybody plans to be."""
_NOISE = 1e-7
"""Masses below this may be rounding errors of the transform."""
_ROUNDS_MAX = 60
_CLOSE = 2e-6


def own_counts(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends and its load (a column)."""
    n = np.array(backends, dtype=float)[:, None]
    servers = n * setting.slots
    stable = erlangs < servers
    zero, masses = _queue(lattice, servers, erlangs, setting.dispersion)
    several = n[:, 0] > 1.0
    if setting.frontends_count > 1 and (stable[:, 0] & several).any():
        loads = np.where(stable, erlangs / servers, 0.5)
        longer = stretch(lattice.service, 1.0 + (setting.dispersion - 1.0) / float(n.min()))
        if setting.slots == 1:
            at_backend = _behind_others(lattice, loads, setting, longer)
            in_front = zero, _shrunk(masses, 1.0 / sqrt(setting.frontends_count))
        else:
            at_backend = _behind_slots(lattice, loads, setting, longer)
            in_front = _before_places(lattice, n, loads, at_backend[1], setting)
        both_zero, both = _sum_of(lattice, *in_front, *at_backend)
        zero = np.where(several, both_zero, zero)
        masses = np.where(several[:, None], both, masses)
    return WaitingTimes(
        np.where(stable[:, 0], zero, 0.0),
        np.zeros_like(zero),
        np.where(stable, masses, 0.0),
        lattice.points_s,
    )


def _queue(lattice: Lattice, servers: Floats, erlangs: Floats, dispersion: float) -> tuple[Floats, Floats]:
    """P(W = 0) and masses of the wait in one queue before all servers."""
    found = delays(lattice, servers, erlangs, dispersion)
    masses = found.probability * np.maximum(lattice.circle.values(found.series), 0.0)
    return 1.0 - found.probability[:, 0], masses


def _before_places(
    lattice: Lattice, n: Floats, loads: Floats, behind: Floats, setting: Setting
) -> tuple[Floats, Floats]:
    """P(W = 0) and masses of the wait of a frontend whose places at all backends are taken."""
    places = n * ceil(setting.slots / setting.frontends_count)
    longer = 1.0 + (behind @ lattice.points_s)[:, None] / lattice.service.mean_s
    own = loads * n * setting.slots / setting.frontends_count * longer
    return _queue(lattice, places, np.minimum(own, 0.999 * places), setting.dispersion)


def _shrunk(masses: Floats, factor: float) -> Floats:
    """Masses of a waiting time `factor` <= 1 times as long."""
    at = np.arange(masses.shape[1])
    upto = np.cumsum(masses, axis=1)
    rows = [np.interp((at + 0.5) / factor, at + 0.5, row) for row in upto]
    return np.diff(np.array(rows), axis=1, prepend=0.0)


def _sum_of(
    lattice: Lattice, zero: Floats, masses: Floats, other_zero: Floats, other_masses: Floats
) -> tuple[Floats, Floats]:
    """P(both are 0), and the masses of the sum of two independent waiting times beside it."""
    whole, other_whole = masses.copy(), other_masses.copy()
    whole[:, 0] += zero
    other_whole[:, 0] += other_zero
    both = lattice.circle.values(lattice.circle.series(whole) * lattice.circle.series(other_whole))
    both_zero = zero * other_zero
    both[:, 0] -= both_zero
    return both_zero, np.maximum(both, 0.0)


def _behind_others(lattice: Lattice, loads: Floats, setting: Setting, longer: float) -> tuple[Floats, Floats]:
    """P(W = 0) and masses of the wait behind other frontends' requests, at backends with one slot."""
    sources = setting.frontends_count
    spread = longer * (1.0 + cv_squared(lattice.service)) / 2.0
    if spread > 1.0:
        # a bounded queue cannot grow with the square of what varies
        spread = 1.0 + (spread - 1.0) * (sources - 2.0) / (sources + 2.0)
    weights, present = _present(loads[:, 0], sources, spread)
    found_busy = np.clip(1.0 - (1.0 - loads) / (1.0 - present / sources), 0.0, 1.0)
    open_share = _open_share(lattice, weights, sources)
    middle = 0.5 * (open_share[:, 1:] + open_share[:, :-1])
    # from the solution of the simpler closure P(W > v) = P(W > 0)/rho P(V > v) on
    circle = lattice.circle
    base = lattice.crossing_series(loads, found_busy)
    through = loads * lattice.residual_series
    work = np.clip(circle.values(base / (1.0 - found_busy * lattice.residual_series)), 0.0, 1.0)
    survival = moved_before = found_before = work  # so that the first step back is next to nothing
    for _ in range(_ROUNDS_MAX):
        falls = middle * np.maximum(work[:, :-1] - work[:, 1:], 0.0)
        shape = open_share[:, -1:] * work
        shape[:, :-1] = shape[:, -1:] + np.cumsum(falls[:, ::-1], axis=1)[:, ::-1]
        survival = found_busy * shape / np.maximum(shape[:, :1], 1e-300)
        found = np.clip(circle.values(base + through * circle.series(survival)), 0.0, 1.0)
        moved = found - work
        if float(np.abs(moved).max()) < _CLOSE:
            break
        work = np.clip(found - _overshoot(moved, moved_before) * (found - found_before), 0.0, 1.0)
        moved_before, found_before = moved, found
    return 1.0 - survival[:, 0], masses_from_survival(np.clip(survival, 0.0, 1.0))


def _overshoot(moved: Floats, moved_before: Floats) -> Floats:
    """How far to step back along the last step, so that the next move is least (Anderson 1965, one step)."""
    turn = moved - moved_before
    square = (turn * turn).sum(axis=1, keepdims=True)
    step: Floats = (moved * turn).sum(axis=1, keepdims=True) / np.maximum(square, 1e-300)
    return np.clip(step, -3.0, 0.9)


def _present(loads: Floats, sources: int, spread: float) -> tuple[Floats, Floats]:
    """P(K = k | K > 0) for k = 1, 2, ..., a row per load, and the means of K as a column."""
    k = np.arange(1, min(sources, _PRESENT_MAX) + 1)
    rows, means, wanted = [], [], []
    for load in loads.tolist():
        rate = source_rate_for(sources, load)
        simple = max(load, sources - load * rate)
        mean = min(load + (simple - load) * spread, simple + 0.4 * max(0.0, load * sources - simple))
        weights = np.exp(np.cumsum(np.log((sources - k + 1) / rate)))
        rows.append(weights / weights.sum())
        means.append([mean])
        wanted.append([min(mean / load, 0.95 * k[-1]) if k.size > 1 else 1.0])
    return _tilted(np.array(rows), k, np.array(wanted)), np.array(means)


def _tilted(weights: Floats, k: npt.NDArray[np.intp], means: Floats) -> Floats:
    """Rows of weights times powers of a base so that their means are as wanted (Newton's method)."""
    lean = np.zeros_like(means)
    found = weights
    for _ in range(30):
        found = weights * np.exp(np.clip(lean * (k - k[0]), -500.0, 500.0))
        found = found / found.sum(axis=1, keepdims=True)
        at = found @ k[:, None]
        variance = found @ (k * k)[:, None] - at * at
        lacking = np.where((np.abs(at - means) < 1e-6) | (variance < 1e-9), 0.0, means - at)
        if not lacking.any():
            break
        lean = lean + np.clip(lacking / np.maximum(variance, 1e-9), -1.0, 1.0)
    return found


def _open_share(lattice: Lattice, weights: Floats, sources: int) -> Floats:
    """E[1 - K/F | V = point]: a residual service and k - 1 whole ones make up V."""
    service_series = lattice.circle.series(
        masses_from_limited_mean(lattice.service.limited_mean(lattice.edges_s), lattice.step_s)
    )
    needed = int(np.flatnonzero(weights.max(axis=0) > 1e-7)[-1]) + 1
    powers = np.empty((needed, service_series.size), dtype=complex)
    powers[0] = lattice.residual_series
    for k in range(1, needed):
        powers[k] = powers[k - 1] * service_series
    densities = np.maximum(lattice.circle.values(powers), 0.0)
    counts = np.arange(1, needed + 1)
    whole = weights[:, :needed] @ densities
    free = (weights[:, :needed] * np.maximum(0.0, 1.0 - counts / sources)) @ densities
    share: Floats = np.divide(free, whole, out=np.zeros_like(free), where=whole > _NOISE)
    for row, seen in zip(share, whole > _NOISE, strict=True):
        last = int(np.flatnonzero(seen)[-1]) if seen.any() else 0
        row[last + 1 :] = row[last]
    return share


def _behind_slots(lattice: Lattice, loads: Floats, setting: Setting, longer: float) -> tuple[Floats, Floats]:
    """P(W = 0) and masses of the wait at backends with several slots."""
    slots = setting.slots
    sources = setting.frontends_count * ceil(slots / setting.frontends_count)
    seen = np.array([_seen_by_arrivals(load, slots, sources) for load in loads[:, 0].tolist()])
    waits = seen[:, slots:]
    column = np.array([[float(slots)]])
    behind = lattice.circle.series(lattice.residual_masses(column / longer))
    series = np.zeros((len(waits), behind.shape[1]), dtype=complex)
    for j in range(waits.shape[1] - 1, -1, -1):
        series = series * behind + waits[:, j : j + 1]
    series = series * least_residual_series(lattice, column, 1.0 / longer)
    return 1.0 - waits.sum(axis=1), np.maximum(lattice.circle.values(series), 0.0)


def _seen_by_arrivals(load: float, slots: int, sources: int) -> Floats:
    """P(an arrival finds k at the backend), k = 0 .. sources - 1, in M/M/c//N at this load per slot."""
    k = np.arange(sources + 1, dtype=np.float64)
    base = np.concatenate(([0.0], np.cumsum(np.log((sources - k[:-1]) / np.minimum(k[1:], slots)))))
    low, high = -40.0, 40.0
    weights: Floats = base
    for _ in range(60):
        middle = 0.5 * (low + high)
        logs = base + k * middle
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        if float(weights @ np.minimum(k, slots)) < load * slots:
            low = middle
        else:
            high = middle
    found: Floats = weights[:-1] * (sources - k[:-1])
    found /= found.sum()
    return found
