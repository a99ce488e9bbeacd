"""The cases: a fixed draw of loads, execution times and promises, for every dispatch policy."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

POLICIES = (
    "late-binding",
    "central-queue",
    "random",
    "p2c",
    "least-outstanding",
    "join-idle-queue",
    "retry",
)
COUNTS = {"late-binding": 80, "central-queue": 80}
COUNT_OTHERS = 30
SPARE_MIN = 0.05
SPARE_MIN_OTHERS = 0.5
"""Of the misses that are allowed, what execution alone must leave. With less, policies that wait at backends
need hundreds of them for a load of ten, and playing that out takes days."""
CVS = (0.05, 0.15, 0.3, 0.6, 1.0, 1.5)
LEVELS = (0.9, 0.95, 0.99, 0.995, 0.999)
FRONTENDS = (1, 2, 4, 8, 8, 8, 16)
ROUND_TRIP = 0.01
"""In mean execution times, as everything here."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question: how many backends keep this promise? Times in mean executions."""

    policy: str
    number: int
    erlangs: float
    cv: float
    response_time: float
    level: float
    frontends: int

    @property
    def name(self) -> str:
        """What tells the case from all others."""
        return f"{self.policy}-{self.number:03d}"

    def within(self, time: np.ndarray | float) -> np.ndarray:
        """Share of executions not longer than `time`, from the log-normal's definition."""
        sigma = np.sqrt(np.log1p(self.cv * self.cv))
        time = np.asarray(time, dtype=float)
        z = (np.log(np.maximum(time, 1e-12)) + sigma * sigma / 2.0) / sigma
        return np.where(time > 0.0, ndtr(z), 0.0)


def all_cases(seed: int = 20171211) -> list[Case]:
    """Draw the table, even in the logarithms of erlangs and thresholds; only feasible cases are kept."""
    cases = []
    for policy in POLICIES:
        rng = np.random.default_rng([seed, POLICIES.index(policy)])
        wanted = COUNTS.get(policy, COUNT_OTHERS)
        number = 0
        while number < wanted:
            case = Case(
                policy,
                number,
                round(float(np.exp(rng.uniform(np.log(0.5), np.log(60.0)))), 3),
                float(rng.choice(CVS)),
                round(float(np.exp(rng.uniform(np.log(1.5), np.log(20.0)))), 3),
                float(rng.choice(LEVELS)),
                int(rng.choice(FRONTENDS)),
            )
            spare = (float(case.within(case.response_time - ROUND_TRIP)) - case.level) / (1.0 - case.level)
            if spare > (SPARE_MIN if policy in COUNTS else SPARE_MIN_OTHERS):
                cases.append(case)
                number += 1
    return cases
