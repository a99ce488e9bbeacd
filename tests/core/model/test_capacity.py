"""The least number of backends, and numerics that do not break."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swayam_proxy.core.errors import ModelError
from swayam_proxy.core.model.capacity import least_backends
from swayam_proxy.core.model.execution import ExecutionStatistics, ExecutionSummary, fit
from swayam_proxy.core.model.response import ResponseTarget
from swayam_proxy.core.model.service_time import LogNormal
from swayam_proxy.core.model.setting import Setting
from swayam_proxy.core.vocabulary import DispatchPolicy

SERVICE = LogNormal.of_mean_cv(0.05, 0.3)
CENTRAL = DispatchPolicy.CENTRAL_QUEUE
POLICIES = st.sampled_from(list(DispatchPolicy))


def test_facts_to_keep_in_mind() -> None:
    """Poisson, cv 0.3, five executions, 99 %: random needs a load below 0.52, a central queue about a + 1."""
    assert least_backends(400.0, SERVICE, 0.25, 0.99, policy=CENTRAL).needs == 21
    blind = least_backends(400.0, SERVICE, 0.25, 0.99, policy=DispatchPolicy.RANDOM)
    assert blind.needs == pytest.approx(20.0 / 0.52, abs=1.0)
    at = {t: least_backends(400.0, SERVICE, t * 0.05, 0.99, policy=CENTRAL).needs for t in (2, 3, 5)}
    assert at == {2: 24, 3: 22, 5: 21}


def test_late_binding_comes_near_a_central_queue() -> None:
    """Beyond three executions at most one more backend, at two at most 15 % more."""
    for threshold, factor in ((2.0, 1.15), (3.0, 1.05), (5.0, 1.05)):
        late, central = (
            least_backends(400.0, SERVICE, threshold * 0.05, 0.99, policy=policy, frontends_count=8).needs
            for policy in (DispatchPolicy.LATE_BINDING, CENTRAL)
        )
        assert central <= late <= max(central + 1, factor * central)


def test_answer_is_least_and_does_not_depend_on_where_the_search_begins() -> None:
    """N keeps the promise, n - 1 does not; from below, above and afar."""
    for policy in DispatchPolicy:
        found = {
            least_backends(300.0, SERVICE, 0.15, 0.99, policy=policy, frontends_count=4, start=start).needs
            for start in (None, 1, 16, 40, 3_000)
        }
        assert len(found) == 1
        needs = found.pop()
        setting = Setting(policy, 1, 4, 0.0005)
        below, at = ResponseTarget(SERVICE, 0.15).attainment(300.0, [needs - 1, needs], setting)
        assert below < 0.99 <= at


def test_silence_needs_nothing() -> None:
    """Zero traffic asks for no backend at all: the user's minimum decides."""
    found = least_backends(0.0, SERVICE, 0.25, 0.99, policy=CENTRAL)
    assert (found.needs, found.binding, found.feasible) == (0, "idle", True)


def test_threshold_below_the_fastest_execution_is_infeasible() -> None:
    """Nothing is ever in time: infeasible, and no more is asked for than carries the load."""
    found = least_backends(200.0, SERVICE, 0.001, 0.99, policy=DispatchPolicy.LATE_BINDING)
    assert not found.feasible
    assert found.binding == "execution"
    assert found.needs <= 11


def test_limit_that_does_not_suffice_is_passed_by_one() -> None:
    """n_max + 1 says that n_max backends are not enough."""
    assert least_backends(400.0, SERVICE, 0.25, 0.99, policy=CENTRAL, n_max=10).needs == 11
    assert least_backends(400.0, SERVICE, 0.1, 0.99, policy=CENTRAL, n_max=22).needs == 23
    assert least_backends(400.0, SERVICE, 0.1, 0.99, policy=CENTRAL, n_max=24).needs == 24


def test_slots_divide_the_backends() -> None:
    """Four slots a backend are four servers before a central queue."""
    one = least_backends(400.0, SERVICE, 0.1, 0.99, policy=CENTRAL).needs
    four = least_backends(400.0, SERVICE, 0.1, 0.99, policy=CENTRAL, slots=4).needs
    assert four == -(-one // 4)


def test_bursty_arrivals_need_more() -> None:
    """A dispersion of 4 costs backends, one below 1 is not trusted."""
    calm, bursty, smooth = (
        least_backends(400.0, SERVICE, 0.1, 0.99, policy=CENTRAL, dispersion=d).needs for d in (1.0, 4.0, 0.2)
    )
    assert bursty > calm == smooth


def test_caution_of_a_fit_reaches_the_answer() -> None:
    """Few samples ask for at least as many backends as the same distribution known for sure."""
    statistics = ExecutionStatistics()
    rng = np.random.default_rng(1)
    for time in rng.lognormal(SERVICE.mu, SERVICE.sigma, 40).tolist():
        statistics.observe(time, 0.0)
    found = fit(statistics.summary(0.0), 0.05, 0.3)
    plain = LogNormal(found.mu, found.sigma)
    needs = least_backends(400.0, found, 0.11, 0.99, policy=CENTRAL).needs
    assert needs > least_backends(400.0, plain, 0.11, 0.99, policy=CENTRAL).needs


def test_no_samples_and_one_sample_give_an_answer() -> None:
    """The configured expectation alone, or with a single execution."""
    assert least_backends(400.0, fit(ExecutionSummary(), 0.05, 0.3), 0.25, 0.99, policy=CENTRAL).needs == 21
    statistics = ExecutionStatistics()
    statistics.observe(0.06, 0.0)
    assert (
        least_backends(400.0, fit(statistics.summary(0.0), 0.05, 0.3), 0.25, 0.99, policy=CENTRAL).needs >= 21
    )


@pytest.mark.parametrize(
    ("rate", "threshold", "level"),
    [
        (-1.0, 0.2, 0.99),
        (np.nan, 0.2, 0.99),
        (np.inf, 0.2, 0.99),
        (1.0, 0.0, 0.99),
        (1.0, 0.2, 1.0),
        (1.0, 0.2, np.nan),
    ],
)
def test_nonsense_is_refused(rate: float, threshold: float, level: float) -> None:
    """A question without meaning is an error, not a number."""
    with pytest.raises(ModelError, match="no capacity"):
        least_backends(rate, SERVICE, threshold, level, policy=CENTRAL)


@settings(max_examples=150, deadline=None)
@given(
    POLICIES,
    st.floats(-3.0, 4.0),
    st.floats(0.0, 3.0),
    st.floats(-1.0, 2.0),
    st.sampled_from([0.5, 0.9, 0.99, 0.999, 0.9999]),
    st.integers(1, 64),
    st.sampled_from([1, 1, 1, 2, 16]),
    st.sampled_from([1.0, 1.0, 3.0, 20.0]),
)
@example(DispatchPolicy.P2C, 1.0, 0.0, 0.3, 0.9999, 8, 1, 1.0)
@example(DispatchPolicy.LATE_BINDING, 4.0, 3.0, 2.0, 0.9999, 64, 1, 20.0)
@example(DispatchPolicy.RETRY, -3.0, 0.0, -1.0, 0.5, 1, 16, 1.0)
def test_every_question_has_a_finite_answer(
    policy: DispatchPolicy,
    log_erlangs: float,
    cv: float,
    log_threshold: float,
    level: float,
    frontends: int,
    slots: int,
    dispersion: float,
) -> None:
    """A thousandth to ten thousand erlangs, cv 0 to 3, thresholds from a tenth to a hundred executions."""
    service = LogNormal.of_mean_cv(1.0, cv)
    erlangs, threshold = 10.0**log_erlangs, 10.0**log_threshold
    found = least_backends(
        erlangs,
        service,
        threshold,
        level,
        policy=policy,
        frontends_count=frontends,
        slots=slots,
        round_trip_s=0.01,
        dispersion=dispersion,
        n_max=40_000,
    )
    shares = np.array([share for _, share in found.attainment])
    assert np.isfinite(shares).all()
    assert ((shares >= 0.0) & (shares <= 1.0)).all()
    assert 1 <= found.needs <= 40_001
    assert found.needs * slots >= erlangs * 0.999 or found.needs == 40_001
    assert 0.0 <= found.utilisation <= 1.0


@settings(max_examples=60, deadline=None)
@given(
    POLICIES,
    st.floats(0.5, 40.0),
    st.sampled_from([0.05, 0.3, 1.0, 2.0]),
    st.floats(1.5, 20.0),
    st.integers(1, 16),
)
def test_more_backends_never_hurt(
    policy: DispatchPolicy, erlangs: float, cv: float, threshold: float, frontends: int
) -> None:
    """Attainment does not fall with n by more than the grid's error; by 0.3 % for own counts."""
    target = ResponseTarget(LogNormal.of_mean_cv(1.0, cv), threshold)
    first = int(erlangs) + 1
    backends = [first + k for k in (0, 1, 2, 3, 5, 8, 13, 30)]
    shares = target.attainment(erlangs, backends, Setting(policy, 1, frontends, 0.01))
    slack = 3e-3 if policy in (DispatchPolicy.P2C, DispatchPolicy.LEAST_OUTSTANDING) else 2e-4
    assert (np.diff(shares) > -slack).all()
