"""Delays of messages."""

from random import Random

import pytest

from swayam_proxy.sim.network import Network
from swayam_proxy.sim.scenario import Scenario


def test_a_steady_network_draws_nothing() -> None:
    """Without jitter and loss every message takes one way."""
    rng = Random(1)
    before = rng.getstate()
    network = Network(Scenario(one_way_s=0.001), rng)
    assert network.steady
    assert network.delay_s() == 0.001
    assert rng.getstate() == before


def test_jitter_and_loss_add_up() -> None:
    """The mean delay is the way, the mean jitter, and a resend for each loss in a row."""
    network = Network(Scenario(one_way_s=0.001, jitter_s=0.002, loss=0.25, resend_s=0.2), Random(2))
    delays = [network.delay_s() for _ in range(40_000)]
    assert sum(delays) / len(delays) == pytest.approx(0.003 + 0.2 / 3.0, rel=0.03)
    assert min(delays) > 0.001
