"""Execution statistics as gossip carries them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.core.gossip.executions import merged_executions, pack_executions, unpack_executions
from swayam_proxy.core.gossip.wire import SUMMARY_BYTES_MAX
from swayam_proxy.core.model.execution import ExecutionStatistics, ExecutionSummary, fit, merge


def _summary(seed: int, mean_s: float = 0.05, sigma: float = 0.3) -> ExecutionSummary:
    statistics, rng = ExecutionStatistics(), Random(seed)
    for _ in range(500):
        statistics.observe(mean_s * rng.lognormvariate(0.0, sigma), 0.0)
    statistics.observe_at_least(1.0, 0.0)
    return statistics.summary(0.0)


def test_what_arrives_fits_like_what_was_sent() -> None:
    """Half floats cost no more than a thousandth of mean and cv."""
    sent = _summary(1)
    arrived = unpack_executions(pack_executions(sent))
    assert arrived is not None
    there, here = fit(arrived, 0.1, 0.3), fit(sent, 0.1, 0.3)
    assert there.mean_s == pytest.approx(here.mean_s, rel=1e-3)
    assert there.cv == pytest.approx(here.cv, rel=1e-2)


def test_peers_statistics_add_up() -> None:
    """Two members' packed statistics merge to nearly what all their samples together give."""
    one, two = _summary(1), _summary(2, mean_s=0.08)
    merged = ExecutionSummary.from_numbers(merged_executions([pack_executions(one), pack_executions(two)]))
    assert fit(merged, 0.1, 0.3).mean_s == pytest.approx(fit(merge([one, two]), 0.1, 0.3).mean_s, rel=1e-3)


def test_the_widest_distribution_still_fits_into_its_bytes() -> None:
    """Whatever was measured, the bound of the wire holds."""
    assert len(pack_executions(_summary(3, sigma=9.0))) <= SUMMARY_BYTES_MAX


def test_nothing_measured_is_nothing_merged() -> None:
    """No members, or members without samples: no numbers, or a summary without weight."""
    assert merged_executions([]) == ()
    empty = merged_executions([pack_executions(ExecutionSummary())])
    assert empty == () or ExecutionSummary.from_numbers(empty).weight == 0.0


@given(st.binary(max_size=600))
def test_no_bytes_are_believed_that_are_no_summary(noise: bytes) -> None:
    """Random bytes give None or a summary within its bounds, never an exception."""
    found = unpack_executions(noise)
    assert found is None or found.weight >= 0.0
