"""swayam replay: a decision log judged again."""

import json
from pathlib import Path

from click.testing import CliRunner

from swayam_proxy.cli.root import swayam
from tests.core.test_evidence import _recorded


def _log(tmp_path: Path, lines: list[dict]) -> str:
    file = tmp_path / "decisions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(file)


def test_a_true_log_shows_no_difference(tmp_path: Path) -> None:
    """Exit status 0, and the number of decisions is told."""
    result = CliRunner().invoke(swayam, ["replay", _log(tmp_path, _recorded())])
    assert result.exit_code == 0, result.output
    assert result.output == "30 decisions made again, 0 different\n"


def test_differences_are_named_with_their_line(tmp_path: Path) -> None:
    """Exit status 1; the JSON names line, service and what differs."""
    lines = _recorded()
    lines[7]["needs"] += 1
    result = CliRunner().invoke(swayam, ["replay", _log(tmp_path, lines), "--json"])
    assert result.exit_code == 1
    (entry,) = json.loads(result.output)["different"]
    assert (entry["line"], entry["service_name"]) == (8, "digits")
    assert "needs" in entry["differences"][0]


def test_what_is_no_decision_log_is_refused(tmp_path: Path) -> None:
    """Another JSON file, a cut line or a missing file: two lines on stderr, exit status 2, no traceback."""
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1}\n')
    cut = tmp_path / "cut.jsonl"
    cut.write_text(json.dumps(_recorded()[0])[:-40])
    for file in (other, cut, tmp_path / "missing"):
        result = CliRunner().invoke(swayam, ["replay", str(file)])
        assert result.exit_code == 2, result.output
        assert len(result.stderr.strip().splitlines()) == 2
