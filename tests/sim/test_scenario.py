"""The scenario's own checks."""

from typing import Any

import pytest

from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import WorkloadError


def test_the_default_is_the_decks_setting() -> None:
    """Eight frontends, a hundred backends, 5C, 99 %, U = 2, five warm at the start."""
    scenario = Scenario()
    assert (scenario.frontends_count, scenario.backends_count, scenario.warm_at_start) == (8, 100, 5)
    assert (scenario.threshold_s(0.1), scenario.level, scenario.burst) == (0.5, 0.99, 2.0)
    assert Scenario(response_time_s=0.3).threshold_s(0.1) == 0.3


@pytest.mark.parametrize(
    "changes",
    [
        {"frontends_count": 0},
        {"backends_count": 0},
        {"slots": 0},
        {"response_time_ratio": 0.0},
        {"level": 1.0},
        {"burst": 0.0},
        {"setup_s": -1.0},
        {"idle_s": 0.0},
        {"warm_at_start": 101},
        {"tick_s": 0.0},
        {"one_way_s": -1.0},
        {"loss": 1.0},
        {"gossip_loss": 1.5},
        {"gossip_s": 0.0},
        {"first_frontend_share": 1.5},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    """A scenario that makes no sense does not begin."""
    with pytest.raises(WorkloadError):
        Scenario(**changes)
