"""The list of baselines."""

from dataclasses import fields

import pytest

from swayam_proxy.sim.baselines.catalogue import BASELINES, DISPATCHERS
from swayam_proxy.sim.workload import WorkloadError


def test_every_grid_names_settings_that_exist() -> None:
    """Each baseline can be made with every corner of its grid, and has a dispatch that exists."""
    for baseline in BASELINES.values():
        known = {field.name for field in fields(baseline.settings)}
        assert baseline.dispatch in DISPATCHERS
        assert baseline.grid
        for field, values in baseline.grid:
            assert field in known
            for value in values:
                assert getattr(baseline.tuned(**{field: value}).settings, field) == value
        assert baseline.settings == type(baseline.settings)(), "the catalogue holds the defaults"


def test_unknown_settings_are_refused() -> None:
    """A mistyped setting names those that exist."""
    with pytest.raises(WorkloadError, match="target_utilisation"):
        BASELINES["knative"].tuned(target=0.8)
