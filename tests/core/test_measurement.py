"""How well the promise is kept."""

import pytest

from swayam_proxy.core.measurement import WINDOW_S, Measurement


def test_share_looks_back_over_its_window_only() -> None:
    """Bad minutes are forgotten when the window has passed over them; counters never forget."""
    measurement = Measurement(0.0)
    for _ in range(10):
        measurement.ended(1.0, good=False)
    for _ in range(30):
        measurement.ended(100.0, good=True)
    assert measurement.share_within(100.0) == pytest.approx(0.75)
    assert measurement.share_within(1.0 + WINDOW_S + 10.0) == 1.0
    assert measurement.share_within(100.0 + WINDOW_S + 10.0) is None
    assert (measurement.requests_count, measurement.good_count) == (40, 30)


def test_no_traffic_has_no_share() -> None:
    """Nothing asked is neither kept nor broken."""
    assert Measurement(5.0).share_within(1000.0) is None


def test_reading_alters_nothing() -> None:
    """A look from far ahead must not empty the bins."""
    measurement = Measurement(0.0)
    measurement.ended(1.0, good=True)
    assert measurement.share_within(10_000.0) is None
    assert measurement.share_within(2.0) == 1.0
