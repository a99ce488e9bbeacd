"""Erlang's formulas with a real number of servers: who finds how many servers busy.

Knows the number of servers and the offered load in erlangs; nothing of time.

B (loss) and C (delay) follow from the incomplete gamma function, which makes them O(1) for any size and
gives the usual continuation to a broken number of servers that Hayward's approximation needs:

    1/B(n, a) = Gamma(n + 1, a) e^a / a^n,      C = n B / (n - a (1 - B)).

Sources: A. K. Erlang 1917; the continuation: D. L. Jagerman, "Some properties of the Erlang loss
function", Bell Syst. Tech. J. 53 (1974); Hayward: A. A. Fredericks, "Congestion in blocking systems - a
simple approximation technique", Bell Syst. Tech. J. 59 (1980).
"""

from math import exp, lgamma, log, sqrt

import numpy as np
from scipy.special import gammaincc, gammaln

from swayam_proxy.core.model.grid import Floats

_SPREADS = 7.0
"""How many standard deviations below its mean the number of busy servers is followed."""


def erlang_b(servers: float, erlangs: float) -> float:
    """Probability that an arrival finds all of `servers` busy and is lost; 0 <= erlangs, 0 <= servers."""
    if erlangs <= 0.0:
        return 0.0 if servers > 0.0 else 1.0
    below = float(gammaincc(servers + 1.0, erlangs))
    if below <= 0.0:
        return _overloaded_b(servers, erlangs)
    log_at = servers * log(erlangs) - erlangs - lgamma(servers + 1.0)
    return min(1.0, exp(min(0.0, log_at - log(below))))


def _overloaded_b(servers: float, erlangs: float) -> float:
    """B where the load is so far above the servers that the gamma function underflows.

    1/B = 1 + n/a + n(n-1)/a^2 + ..., whose terms fall at least as fast as (n/a)^k.
    """
    term = total = 1.0
    for k in range(10_000):
        term *= (servers - k) / erlangs
        if term <= 1e-17 * total:
            break
        total += term
    return 1.0 / total


def erlang_c(servers: float, erlangs: float, peakedness: float = 1.0) -> float:
    """Probability that an arrival has to wait at `servers` servers; 1 where the load cannot be carried.

    `peakedness` is the variance over the mean of the number of busy servers if there were infinitely
    many; beyond 1, Hayward: a group of n/z servers with a/z erlangs of Poisson traffic.
    """
    if erlangs >= servers:
        return 1.0
    servers, erlangs = servers / peakedness, erlangs / peakedness
    loss = erlang_b(servers, erlangs)
    return min(1.0, servers * loss / (servers - erlangs * (1.0 - loss)))


def busy_weights(
    servers: Floats, erlangs: Floats, delayed: Floats, peakedness: float = 1.0
) -> tuple[Floats, Floats]:
    """Numbers of busy servers below all, and their probabilities, which add up to 1 - `delayed`.

    Three columns in, one row of numbers for all and a row of probabilities for each. They are in proportion
    to Poisson weights, as in M/M/n; what lies far below the mean is left out.
    """
    least = float(erlangs.min())
    most = int(servers.max()) - 1
    lowest = max(0, min(int(servers.min()) - 1, int(least - _SPREADS * sqrt(least * peakedness) - 5.0)))
    busy = np.arange(lowest, most + 1, dtype=np.float64)
    log_factorials = gammaln(busy / peakedness + 1.0)
    log_weights = busy / peakedness * np.log(np.maximum(erlangs, 1e-300) / peakedness) - log_factorials
    log_weights = np.where(busy < servers, log_weights, -np.inf)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return busy, weights * ((1.0 - delayed) / weights.sum(axis=1, keepdims=True))


def all_of_sample(busy: Floats, servers: Floats, sample_count: int) -> Floats:
    """Probability that `sample_count` different servers drawn at random are all among the busy ones."""
    share = np.minimum(busy / servers, 1.0)
    for k in range(1, sample_count):
        share = share * np.where(servers > k, np.maximum(0.0, busy - k) / np.maximum(servers - k, 1.0), 1.0)
    return share


def source_rate_for(sources: int, load: float) -> float:
    """Load y = mu/eta at which `sources` sources of rate eta keep one server busy for a share `load`.

    Machine repair: the server is idle with probability B(sources, y). Newton's method in log y; the
    derivative of B is B (sources/y - 1 + B).
    """
    idle = 1.0 - load
    y = max(1e-9, sources / load - 1.0)
    for _ in range(60):
        found = erlang_b(float(sources), y)
        slope = found * (sources - y + y * found)
        if slope <= 1e-300:
            y *= 0.5
            continue
        change = max(-1.0, min(1.0, (found - idle) / slope))
        y *= exp(-change)
        if abs(change) < 1e-10:
            break
    return y
