"""What a run leaves behind: one response time per request, and how the backends' number went. Plain arrays.

Knows nothing of how the run was made; `report` judges it.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np

from swayam_proxy.sim.workload import Floats

REFUSED = -1.0
FAILED = -2.0
UNFINISHED = -3.0


class ResponseLog:
    """Response times in seconds by the request's position; REFUSED, FAILED or UNFINISHED where there is
    none.
    """

    __slots__ = ("ended_count", "times_s")

    def __init__(self, requests_count: int) -> None:
        """Begin with nothing ended."""
        self.times_s = array("d", [UNFINISHED]) * requests_count
        self.ended_count = 0

    def as_array(self) -> Floats:
        """Return a copy as an array."""
        return np.array(self.times_s, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One finished run."""

    policy: str
    response_time_s: float
    level: float
    setup_s: float
    idle_s: float
    responses_s: Floats = field(repr=False)
    backend_seconds: float
    peak_backends: int
    setups_count: int
    changes: tuple[tuple[float, int], ...] = field(repr=False)
    """(when, billed backends from then on)."""
    prefixes: tuple[tuple[float, int], ...] = field(repr=False, default=())
    """(when, n) as decided by the first frontend or by the autoscaler."""
    rebooked_count: int = 0
    messages_count: int = 0
    """One-way messages beside requests and answers: holds, grants, cancellations, refused tries."""
