"""The highest rate that meets the conditions, by doubling and halving.

Knows a function that tries a rate; nothing of how.
"""

from collections.abc import Callable
from dataclasses import dataclass

_FIRST_RATE_PER_S = 10.0
_TRIES_COUNT_MAX = 24
_PRECISION = 0.05
_EXIT_FAILED, _EXIT_SLO_MISSED = 1, 3


@dataclass(frozen=True, slots=True)
class Try:
    """One test at one rate."""

    rate_per_s: float
    is_met: bool
    is_valid: bool
    text: str


def find_max(attempt: Callable[[float], Try], say: Callable[[str], None]) -> int:
    """Search to 5 %; say each try and the answer; return the exit status.

    Doubles until a rate fails, then halves the gap. An INVALID try ends the climb: what the generator
    cannot make cannot be judged.
    """
    best, least_bad, rate_per_s, is_generator_limit = 0.0, 0.0, _FIRST_RATE_PER_S, False
    for _ in range(_TRIES_COUNT_MAX):
        tried = attempt(rate_per_s)
        is_good = tried.is_met and tried.is_valid
        verdict = "met" if is_good else "INVALID" if not tried.is_valid else "missed"
        say(f"{rate_per_s:9.1f}/s  {verdict:7}  {tried.text}")
        if is_good:
            best = rate_per_s
        else:
            least_bad, is_generator_limit = rate_per_s, not tried.is_valid
        if least_bad and (least_bad - best) <= _PRECISION * least_bad:
            break
        rate_per_s = (best + least_bad) / 2 if least_bad else best * 2
        if rate_per_s < 1.0:
            break
    if best == 0.0:
        say("no rate was found that meets the conditions")
        return _EXIT_FAILED if is_generator_limit else _EXIT_SLO_MISSED
    limit = " (beyond it the generator falls behind; try --processes)" if is_generator_limit else ""
    say(f"highest rate that meets the conditions: {best:.1f}/s{limit}")
    return 0
