"""The decision log's lines: complete enough to judge again."""

import json
from dataclasses import fields
from math import inf
from pathlib import Path

from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.vocabulary import Decision
from swayam_proxy.live.decision_log import DecisionLog
from tests.live.samples import decision


def test_a_line_holds_the_whole_decision(tmp_path: Path) -> None:
    """Every field of a decision is in its line, with the version of the code and the proxy's name."""
    log = DecisionLog(str(tmp_path / "decisions.log"), "proxy-1", "1.2.3")
    log.record(RecordDecision(decision("m", prefix=3, needs=2), lambda: {"terms": 1}))
    log.writer.stop()
    entry = json.loads((tmp_path / "decisions.log").read_text())
    assert {field.name for field in fields(Decision)} <= set(entry)
    assert (entry["version"], entry["proxy_id"], entry["prefix"], entry["reason"]) == (
        "1.2.3",
        "proxy-1",
        3,
        "steady",
    )
    assert entry["evidence"] == {"terms": 1}
    assert entry["attainment"] == [[1, 0.9], [2, 0.995], [3, 0.999]]


def test_infinities_stay_readable(tmp_path: Path) -> None:
    """A number that JSON does not know becomes null, not an unreadable line."""
    log = DecisionLog(str(tmp_path / "decisions.log"), "proxy-1", "1.2.3")
    line = log.line_of(RecordDecision(decision("m", prefix=1, needs=1, load_per_s=inf), dict))
    log.writer.stop()
    assert json.loads(line)["load_per_s"] is None
