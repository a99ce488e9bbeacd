"""Erlang's formulas with a real number of servers: who finds all servers busy.

Knows the number of servers and the offered load in erlangs; nothing of time.

B (loss) and C (delay) follow from the incomplete gamma function, which makes them O(1) for any size and
gives the usual continuation to a broken number of servers that Hayward's approximation needs:

    1/B(n, a) = Gamma(n + 1, a) e^a / a^n,      C = n B / (n - a (1 - B)).

Source: A. K. Erlang 1917; continuation: D. L. Jagerman, "Some properties of the Erlang loss function",
Bell Syst. Tech. J. 53 (1974).
"""

from math import exp, lgamma, log

from scipy.special import gammaincc


def erlang_b(servers: float, erlangs: float) -> float:
    """Probability that an arrival finds all of `servers` busy and is lost; 0 <= erlangs, 0 <= servers."""
    if erlangs <= 0.0:
        return 0.0 if servers > 0.0 else 1.0
    below = float(gammaincc(servers + 1.0, erlangs))
    log_at = servers * log(erlangs) - erlangs - lgamma(servers + 1.0)
    if below <= 0.0:
        return max(0.0, min(1.0, 1.0 - servers / erlangs))
    return min(1.0, exp(min(0.0, log_at - log(below))))


def erlang_c(servers: float, erlangs: float) -> float:
    """Probability that an arrival has to wait at `servers` servers; 1 where the load cannot be carried."""
    if erlangs >= servers:
        return 1.0
    loss = erlang_b(servers, erlangs)
    return min(1.0, servers * loss / (servers - erlangs * (1.0 - loss)))


def all_of_sample_busy(servers: int, erlangs: float, sample_count: int) -> float:
    """Probability that `sample_count` different servers drawn at random are all busy, but not all servers.

    With the number of busy servers b as in M/M/n, P(b) proportional to the Poisson weight below n, the
    mean of b(b-1)..(b-d+1) / n(n-1)..(n-d+1) over b < n is a quotient of incomplete gamma functions.
    """
    if erlangs <= 0.0 or erlangs >= servers or sample_count >= servers:
        return 0.0
    found = 1.0 - erlang_c(servers, erlangs)
    for k in range(sample_count):
        found *= erlangs / (servers - k)
    below = float(gammaincc(servers, erlangs))
    return found * float(gammaincc(servers - sample_count, erlangs)) / below if below > 0.0 else 0.0
