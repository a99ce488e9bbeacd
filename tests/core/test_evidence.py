"""Decisions made again from their record."""

import json
from random import Random

import pytest

from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.errors import EvidenceError
from swayam_proxy.core.events import WakeupCame
from swayam_proxy.core.evidence import differences, judge_again
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import FrontendSpec, Outcome, Sla
from tests.core.playbook import service_spec


def _recorded(**changes: object) -> list[dict]:
    """Run a frontend through a rise and a fall; return its decision log, as read from a file."""
    frontend = Frontend(
        FrontendSpec("f", (service_spec(30, shrink_hold_s=5.0, **changes),), 3), Random(2), 0.0
    )
    rng, lines, now = Random(4), [], 0.0
    for second in range(30):
        for _ in range(40 if second < 12 else 4):
            now = second + rng.random()
            ticket = frontend.admit("digits", now)
            if isinstance(ticket, Ticket) and ticket.backend_index:
                frontend.finish(ticket, Outcome.SERVED, now, execution_s=0.04 + 0.02 * rng.random())
        for command in frontend.handle(WakeupCame(), second + 1.0):
            assert isinstance(command, RecordDecision)
            decision = command.decision
            line = {name: getattr(decision, name) for name in decision.__dataclass_fields__}
            lines.append(json.loads(json.dumps({**line, "evidence": command.evidence()})))
    return lines


@pytest.mark.parametrize("burst", [2.0, None])
def test_every_decision_comes_out_the_same_from_its_record(burst: float | None) -> None:
    """A log written, read back and judged again shows no difference: growth, hold and shrink included."""
    lines = _recorded(sla=Sla(0.25, 0.99, burst))
    assert {"hold", "shrink"} <= {line["reason"] for line in lines}
    for line in lines:
        assert differences(line, judge_again(line["evidence"])) == []


def test_a_changed_record_is_found_out() -> None:
    """Whoever changes an answer or an input sees it named."""
    line = _recorded()[-1]
    assert differences({**line, "needs": 99}, judge_again(line["evidence"])) == [
        f"needs: recorded 99, now {line['needs']}"
    ]
    line["evidence"]["inputs"]["forecast"]["mean_per_s"] *= 3.0
    assert any("load_per_s" in text for text in differences(line, judge_again(line["evidence"])))


def test_an_incomplete_record_is_an_error_not_an_answer() -> None:
    """Half a record cannot be judged."""
    line = _recorded()[-1]
    del line["evidence"]["inputs"]["forecast"]
    with pytest.raises(EvidenceError, match="forecast"):
        judge_again(line["evidence"])
