"""The retry budget."""

from swayam_proxy.core.retrying import RetryBudget


def test_retries_are_a_share_of_first_attempts() -> None:
    """Under a total outage the retries stay near the ratio, so that load is not multiplied."""
    budget = RetryBudget(0.2, now=0.0)
    taken = 0
    for second in range(100):
        for _ in range(100):
            budget.attempted_count += 1
            taken += budget.take(float(second))
    assert 0.2 * 10_000 <= taken <= 0.2 * 10_000 + 100 + 30


def test_a_quiet_service_can_retry_at_all() -> None:
    """One retry after one request is possible, even though a share of one request is less than one."""
    budget = RetryBudget(0.1, now=0.0)
    budget.attempted_count += 1
    assert budget.take(0.0)


def test_an_empty_budget_fills_with_time() -> None:
    """What was spent comes back at the constant rate, not by a jump."""
    budget = RetryBudget(0.0, now=0.0)
    assert sum(budget.take(0.0) for _ in range(50)) == 10
    assert not budget.take(0.5)
    assert budget.take(1.6)
    assert not budget.take(1.6)
