"""scripts/validate-model: the model against the kept brute-force table, and a piece of that table again."""

import pytest
from _validate_model import brute, report, table
from _validate_model.cases import all_cases
from _validate_model.cli import TABLE
from _validate_model.verdict import Verdict, verdicts


@pytest.fixture(scope="module")
def found() -> list[Verdict]:
    """All kept cases with what the model says of them now."""
    return verdicts(table.read(TABLE))


def test_table_is_large_enough(found: list[Verdict]) -> None:
    """At least 200 cases are kept, late binding and the central queue among them."""
    assert len(found) >= 200
    policies = {one.line.case.policy for one in found}
    assert {"late-binding", "central-queue", "random", "p2c"} <= policies


def test_bar_is_met(found: list[Verdict]) -> None:
    """Late binding, central queue: equal or one (2 %) more in 95 % of cases, never two fewer."""
    assert report.passes(found), report.misses(found)


def test_other_policies_are_close(found: list[Verdict]) -> None:
    """Of the other policies at least three quarters meet the same measure."""
    others = [one for one in found if one.line.case.policy not in report.JUDGED]
    assert sum(one.met for one in others) >= 0.75 * len(others), report.misses(others)


@pytest.mark.parametrize("policy", ["central-queue", "random", "join-idle-queue", "late-binding"])
def test_table_is_what_brute_force_finds(policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear small case of the table, played out again with fewer requests, has the same least n."""
    monkeypatch.setattr(brute, "DOUBLINGS", 0)
    monkeypatch.setitem(brute.REQUESTS, "late-binding", 30_000)
    lines = [line for line in table.read(TABLE) if line.case.policy == policy and line.clear]
    margins = {
        line.case.name: min(line.share - line.case.level, line.case.level - (line.share_below or 0.0))
        / (1.0 - line.case.level)
        for line in lines
        if line.case.erlangs < 8.0
    }
    line = next(one for one in lines if one.case.name == max(margins, key=lambda name: margins[name]))
    assert brute.least_backends(line.case, line.least_n).least.n == line.least_n


def test_cases_do_not_change() -> None:
    """The draw is fixed, so that the table stays valid."""
    first = all_cases()[0]
    assert all_cases() == all_cases()
    assert len(all_cases()) >= 200
    assert first.policy == "late-binding"
