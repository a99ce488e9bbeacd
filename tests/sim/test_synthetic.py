"""The fifteen synthetic traces."""

import numpy as np
import pytest

from swayam_proxy.sim.synthetic import SHAPES, synthetic_workload
from swayam_proxy.sim.workload import WorkloadError


def test_there_are_fifteen_of_three_hours() -> None:
    """All shapes exist, run three hours, and need between one and a hundred backends."""
    assert len(SHAPES) == 15
    for kind in SHAPES:
        workload = synthetic_workload(kind, seed=3)
        assert workload.duration_s == 10_800.0
        assert workload.arrivals_s[-1] < 10_800.0
        assert 0.9 < workload.erlangs_mean < 60.0
        per_minute = np.bincount((workload.arrivals_s // 60.0).astype(int), workload.executions_s)
        assert per_minute.max() / 60.0 < 80.0


def test_a_seed_is_a_day() -> None:
    """The same seed gives the same requests, another seed others; shapes do not share dice."""
    first, again, other = (synthetic_workload("spiky", seed, 600.0) for seed in (1, 1, 2))
    assert np.array_equal(first.arrivals_s, again.arrivals_s)
    assert np.array_equal(first.executions_s, again.executions_s)
    assert not np.array_equal(first.executions_s[:100], other.executions_s[:100])
    with pytest.raises(WorkloadError, match=r"steady, .*wandering"):
        synthetic_workload("nonsense")
