"""Conditions: read, measured, judged."""

import math

import pytest
from _loadtest.errors import UsageError
from _loadtest.slo import check, parse_slo


def test_conditions_are_read() -> None:
    """Times, shares and rates, each with its own unit."""
    conditions = parse_slo("p99<250ms, err<=0.1%,within>0.99,goodput>=50/s,max<2s,p99.9<1s")
    assert [(one.name, one.relation, one.bound) for one in conditions] == [
        ("p99", "<", pytest.approx(0.25)),
        ("err", "<=", pytest.approx(0.001)),
        ("within", ">", 0.99),
        ("goodput", ">=", 50.0),
        ("max", "<", 2.0),
        ("p99.9", "<", 1.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99<250",
        "p99<250%",
        "p101<1s",
        "err<200%",
        "err<1ms",
        "speed>3",
        "goodput>5ms",
        "p99=1s",
        "p99<1.2.3s",
    ],
)
def test_other_texts_are_no_conditions(text: str) -> None:
    """What cannot be read is refused with an example."""
    with pytest.raises(UsageError, match="write for example"):
        parse_slo(text)


def test_conditions_are_judged() -> None:
    """Each clause by its own relation; a value that was not measured never meets a bound."""
    conditions = parse_slo("p99<250ms,err<=1%,goodput>=5,mean<1s")
    checks = check(conditions, {"p99": 0.25, "err": 0.01, "goodput": 5.0, "mean": math.nan})
    assert [one.is_met for one in checks] == [False, True, True, False]
