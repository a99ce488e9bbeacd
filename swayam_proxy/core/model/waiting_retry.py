"""Waiting where a busy backend refuses and the request tries another at random, until one is free.

Knows service times, backends, slots and the round trip.

Let N requests be in the system, B of them running on s slots, the others trying once per round trip. Between
arrivals and departures B settles quickly: below saturation tries fail with probability B/s, above it the
slots that fall free are found at rate (lambda + (N - B)/trip)(1 - B/s) = B mu. So N is a birth and death
chain with deaths B(N) mu. An arrival that finds N busy on the average waits, in any order: below saturation
for a geometric number of round trips; above it as in a queue served at random (SIRO), whose delay is taken
as the mixture of two exponentials that has the right first two moments in M/M/1 (J. Riordan, Bell Syst.
Tech. J. 32, 1953; rates 1 +- sqrt(rho/2)), with the mean delay of `waiting_central` at the chain's own rho.
"""

from math import sqrt

import numpy as np

from swayam_proxy.core.model.grid import Floats, masses_from_survival
from swayam_proxy.core.model.lattice import Lattice
from swayam_proxy.core.model.setting import Setting, WaitingTimes
from swayam_proxy.core.model.waiting_central import least_residual_mean_s, stretch

_STATES_MAX = 20_000
_TAIL = 1e-9


def retry(lattice: Lattice, backends: list[int], erlangs: Floats, setting: Setting) -> WaitingTimes:
    """Solve for each number of backends and its load (a column)."""
    trip_s = max(setting.round_trip_s, 1e-6 * lattice.service.mean_s)
    pairs = list(zip(backends, erlangs[:, 0].tolist(), strict=True))
    rows = [_survival(lattice, n * setting.slots, load, trip_s, setting.dispersion) for n, load in pairs]
    survival = np.array(rows)
    stable = np.array([load < n * setting.slots for n, load in pairs])
    return WaitingTimes(
        np.where(stable, 1.0 - survival[:, 0], 0.0),
        np.full(len(backends), setting.round_trip_s),
        np.where(stable[:, None], masses_from_survival(survival), 0.0),
        lattice.points_s + setting.round_trip_s,
    )


def _running(present: Floats, servers: int, erlangs: float, trip: float) -> Floats:
    """Slots in use when so many requests are in the system; `trip` is in units of the mean execution."""
    n = float(servers)
    # below saturation: B + trip erlangs B / (n - B) = N
    half = 0.5 * (present + n + trip * erlangs)
    below = half - np.sqrt(np.maximum(0.0, half * half - present * n))
    # above it: (erlangs + (N - B)/trip)(1 - B/n) = B
    middle = 0.5 * (erlangs * trip + present + n + trip * n)
    above = middle - np.sqrt(np.maximum(0.0, middle * middle - n * (erlangs * trip + present)))
    running: Floats = np.maximum(np.minimum(np.minimum(below, above), np.minimum(present, n)), 1e-9)
    return running


def _survival(lattice: Lattice, servers: int, erlangs: float, trip_s: float, dispersion: float) -> Floats:
    points = lattice.points_s
    if erlangs >= servers:
        return np.ones(points.size)
    mean_s = lattice.service.mean_s
    states = int(min(_STATES_MAX, servers + 30.0 / (1.0 - erlangs / servers) + 200.0))
    present = np.arange(states, dtype=np.float64)
    running = _running(present, servers, erlangs, trip_s / mean_s)
    logs = np.concatenate(([0.0], np.cumsum(np.log(erlangs / running[1:]))))
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    busy = running / servers
    full = present >= servers
    below, above = weights * busy * ~full, weights * busy * full
    queue_scale = stretch(lattice.service, dispersion)
    queued = float(weights[servers:].sum())
    if queued <= 0.0:
        return _tries(points, below, busy, trip_s)
    going_on = min(1.0 - 1e-9, float(weights[servers + 1 :].sum()) / queued)
    residual_s = lattice.service.second_moment / (2.0 * mean_s)
    queue_s = (
        least_residual_mean_s(lattice.service, servers) + going_on / (1.0 - going_on) * residual_s / servers
    )
    return _tries(points, below, busy, trip_s) + _at_random(
        points, float(above.sum()), queue_scale * queue_s, going_on
    )


def _tries(points: Floats, shares: Floats, busy: Floats, trip_s: float) -> Floats:
    """Survival of a geometric number of round trips, mixed over the states that an arrival can find."""
    kept = shares > 1e-12
    shares, busy = shares[kept], busy[kept]
    if shares.size > 64:
        stride = shares.size // 64 + 1
        edges = np.arange(0, shares.size, stride)
        total = np.add.reduceat(shares, edges)
        busy = np.add.reduceat(shares * busy, edges) / total
        shares = total
    rates = -np.log(np.clip(busy, 1e-12, 1.0 - 1e-12)) / trip_s
    mixed: Floats = shares @ np.exp(-rates[:, None] * points)
    return mixed


def _at_random(points: Floats, share: float, mean_s: float, load: float) -> Floats:
    """Survival of the delay of those who find a queue: two exponentials."""
    lean = sqrt(load / 2.0)
    fast, slow = (1.0 + lean) / mean_s, (1.0 - lean) / mean_s
    mixed: Floats = (
        share * 0.5 * ((1.0 + lean) * np.exp(-fast * points) + (1.0 - lean) * np.exp(-slow * points))
    )
    return mixed
