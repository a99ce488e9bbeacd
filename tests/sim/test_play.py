"""The door to the simulator."""

import numpy as np
import pytest

from swayam_proxy.sim.play import POLICIES, baseline_of, play
from swayam_proxy.sim.plot import busy_backends, draw_run, steps
from swayam_proxy.sim.scenario import Scenario
from swayam_proxy.sim.workload import LogNormalLaw, Workload, WorkloadError, workload_from_rates

SCENARIO = Scenario(frontends_count=2, backends_count=20)


@pytest.fixture(scope="module")
def workload() -> Workload:
    """Half a minute at three erlangs."""
    return workload_from_rates("x", np.full(30, 15.0), 1.0, LogNormalLaw(0.2, 0.3), np.random.default_rng(4))


def test_policies_are_played_by_name(workload: Workload) -> None:
    """Swayam and the baselines give a record of the same form; progress reaches the last request."""
    assert POLICIES[0] == "swayam"
    assert len(POLICIES) == 12
    seen: list[int] = []
    for policy in ("swayam", "knative"):
        record = play(policy, SCENARIO, workload, progress=seen.append)
        assert record.policy == policy
        assert record.responses_s.size == workload.requests_count
        assert seen[-1] == workload.requests_count


def test_settings_are_read_as_what_they_are(workload: Workload) -> None:
    """Numbers keep their kind; what does not exist, or is no number, is refused with what there is."""
    tuned = baseline_of("knative", {"target_utilisation": "0.8", "stable_window_s": "20"}, "central")
    assert (tuned.settings.target_utilisation, tuned.settings.stable_window_s) == (0.8, 20)
    assert tuned.dispatch == "central"
    for call in (
        lambda: baseline_of("nonsense", {}),
        lambda: baseline_of("knative", {"nonsense": "1"}),
        lambda: baseline_of("knative", {"target_utilisation": "high"}),
        lambda: baseline_of("knative", {}, "nonsense"),
        lambda: play("swayam", SCENARIO, workload, settings={"x": "1"}),
    ):
        with pytest.raises(WorkloadError):
            call()


def test_a_run_can_be_drawn(workload: Workload, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The plot is written in the kind that its name says; the curves below it are the run's."""
    record = play("knative", SCENARIO, workload)
    draw_run(record, workload, tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    _, busy = busy_backends(workload, 10.0)
    assert busy.sum() * 10.0 == pytest.approx(workload.executions_s.sum())
    times, values = steps(((0.0, 5), (3.0, 7), (50.0, 9)), 30.0)
    assert times.tolist() == [0.0, 3.0, 30.0]
    assert values.tolist() == [5.0, 7.0, 7.0]
