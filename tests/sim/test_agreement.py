"""How much the n of several frontends differ."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from swayam_proxy.core.vocabulary import Decision
from swayam_proxy.sim.agreement import Agreement, agreement_of
from swayam_proxy.sim.world import World
from tests.sim.test_world import SCENARIO, _workload


def _decision(at: float, prefix: int) -> Decision:
    return SimpleNamespace(at=at, prefix=prefix)  # type: ignore[return-value]  # all that is looked at


def test_shares_are_those_of_time() -> None:
    """Two frontends that differ by 2 for one second of ten, and by 1 for another."""
    made = [(0, _decision(0.0, 5)), (1, _decision(0.5, 5)), (0, _decision(4.0, 7)), (1, _decision(5.0, 6)),
            (1, _decision(6.0, 7)), (0, _decision(10.0, 7))]  # fmt: skip
    found = agreement_of(made, 2, 0.0, 20.0)
    assert found.same_share == pytest.approx(7.5 / 9.5)
    assert found.within_one_share == pytest.approx(8.5 / 9.5)
    assert found.difference_mean == pytest.approx(3.0 / 9.5)
    assert found.difference_max == 2
    later = agreement_of(made, 2, 6.0, 9.0)
    assert (later.same_share, later.prefix_mean) == (1.0, 7.0)


def test_no_time_in_common_is_said() -> None:
    """A frontend that never decided is no agreement."""
    with pytest.raises(ValueError, match="no time"):
        agreement_of([(0, _decision(0.0, 5))], 2, 0.0, 9.0)


@pytest.mark.parametrize("first_share", [None, 0.9])
def test_eight_frontends_that_gossip_publish_nearly_the_same(first_share: float | None) -> None:
    """Even or 90/10 traffic that rises and falls by half within a minute: hardly ever far apart.

    How far is measured by `scripts/evaluate-gossip agreement`; silent ones differ by dozens at 90/10.
    """
    rates = [60.0 + 30.0 * np.sin(second / 15.0) for second in range(100)]
    scenario = replace(
        SCENARIO,
        frontends_count=8,
        backends_count=50,
        first_frontend_share=first_share,
        gossip_statistics_s=20.0,
    )
    world = World(scenario, _workload(rates))
    world.keep_decisions = True
    world.run()
    found: Agreement = agreement_of(world.decisions, 8, 30.0, 100.0)
    assert found.prefix_mean > 12.0, found
    assert found.within_one_share > 0.4, found
    assert found.difference_mean < 2.5, found
    assert found.difference_max <= 7, found
