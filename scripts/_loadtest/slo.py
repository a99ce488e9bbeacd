"""Conditions that set the exit status: "p99<250ms,err<0.1%".

Knows names, bounds and how to read them; the values come from the summary.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from _loadtest.errors import UsageError
from fake_backend.quantities import parse_duration_s

_CLAUSE = re.compile(
    r"(?P<name>[a-z_]+[\d.]*)\s*(?P<relation><=|>=|<|>)\s*(?P<bound>[\d.]+)\s*(?P<unit>[a-z%/]*)"
)
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_SHARES = ("err", "within")
_RATES = ("goodput",)
_TIMES = ("mean", "max")
_TO_DO = (
    "write for example p99<250ms,err<0.1%; known are p50 to p100, mean, max (times), err, within (shares), "
    "goodput (per second)"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One clause: a measured value and its bound, in seconds, shares of 1 or per second."""

    text: str
    name: str
    relation: str
    bound: float

    def holds(self, value: float) -> bool:
        """Whether a value meets the bound; a missing value (nan) never does."""
        if self.relation == "<":
            return value < self.bound
        if self.relation == "<=":
            return value <= self.bound
        return value > self.bound if self.relation == ">" else value >= self.bound


@dataclass(frozen=True, slots=True)
class Check:
    """A condition with what was measured."""

    condition: Condition
    value: float
    is_met: bool


def parse_slo(text: str) -> tuple[Condition, ...]:
    """Return the clauses; raise UsageError where one cannot be read."""
    clauses = [clause.strip() for clause in text.split(",") if clause.strip()]
    if not clauses:
        raise UsageError(f"{text!r} holds no condition", _TO_DO)
    return tuple(_parse_clause(clause) for clause in clauses)


def percentile_of(name: str) -> float | None:
    """Return 99.9 for "p99.9", None for what is no percentile."""
    match = _PERCENTILE.fullmatch(name)
    return float(match[1]) if match else None


def check(conditions: tuple[Condition, ...], values: Mapping[str, float]) -> tuple[Check, ...]:
    """Return each condition with its value."""
    checks = []
    for condition in conditions:
        value = values[condition.name]
        checks.append(Check(condition, value, condition.holds(value)))
    return tuple(checks)


def _parse_clause(clause: str) -> Condition:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise UsageError(f"{clause!r} is no condition", _TO_DO)
    name, unit = match["name"], match["unit"]
    try:
        number = float(match["bound"])
        if name in _SHARES:
            bound = _share(number, unit)
        elif name in _RATES:
            bound = number if unit in ("", "/s") else _refuse(unit)
        elif name in _TIMES or percentile_of(name) is not None:
            bound = parse_duration_s(match["bound"] + unit)
        else:
            raise UsageError(f"{clause!r}: unknown value {name!r}", _TO_DO)
    except ValueError as error:
        raise UsageError(f"{clause!r}: {error}", _TO_DO) from None
    return Condition(clause, name, match["relation"], bound)


def _share(number: float, unit: str) -> float:
    share = number / 100 if unit == "%" else number if unit == "" else _refuse(unit)
    if not 0 <= share <= 1:
        raise ValueError("a share lies between 0 and 1, or 0% and 100%")
    return share


def _refuse(unit: str) -> float:
    raise ValueError(f"unit {unit!r} does not fit")
