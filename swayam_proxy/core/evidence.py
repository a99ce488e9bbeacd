"""Decisions on record: what led to one, as plain data, and the same decision made again from it.

Knows how terms and inputs become dicts of numbers and back; nothing of files.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from math import isclose
from typing import Any

from swayam_proxy.core.decision import DecisionInputs, DecisionTerms, decide
from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.model.load import Forecast
from swayam_proxy.core.vocabulary import Decision, DispatchPolicy, LateBindingSpec, Sla

COMPARED = ("needs", "model_needs", "reason", "load_per_s", "execution_mean_s", "execution_cv", "attainment")
"""What must come out the same when a decision is made again."""
TOLERANCE = 1e-6


def to_evidence(terms: DecisionTerms, inputs: DecisionInputs) -> dict[str, Any]:
    """Return what a decision was made from: dicts, strings and numbers alone."""
    known = asdict(inputs)
    known["execution"] = list(inputs.execution.to_numbers())
    return {"terms": asdict(terms), "inputs": known}


def judge_again(evidence: Mapping[str, Any]) -> Decision:
    """Make the decision again.

    Raises:
        EvidenceError: the record is not complete, or not one of this version.
    """
    try:
        laid_down, known = dict(evidence["terms"]), dict(evidence["inputs"])
        laid_down["sla"] = Sla(**laid_down["sla"])
        laid_down["policy"] = DispatchPolicy(laid_down["policy"])
        laid_down["late_binding"] = LateBindingSpec(**laid_down["late_binding"])
        known["forecast"] = Forecast(**known["forecast"])
        known["execution"] = ExecutionSummary.from_numbers(tuple(known["execution"]))
        return decide(DecisionTerms(**laid_down), DecisionInputs(**known))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(f"the record is not complete: {error}") from None


def _same(then: object, now: object) -> bool:
    """Compare as far as floats keep their value on other machines: a millionth."""
    if isinstance(now, tuple):
        return isinstance(then, list | tuple) and len(then) == len(now) and all(map(_same, then, now))
    if isinstance(now, float):
        return isinstance(then, int | float) and isclose(then, now, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return then == now


def differences(recorded: Mapping[str, Any], again: Decision) -> list[str]:
    """Return in words where a recorded decision and the one made again disagree."""
    found = []
    known = {field.name for field in fields(Decision)}
    for name in COMPARED:
        assert name in known
        then, now = recorded.get(name), getattr(again, name)
        if not _same(then, now):
            found.append(f"{name}: recorded {then}, now {now}")
    return found
