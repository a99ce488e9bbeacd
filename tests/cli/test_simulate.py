"""swayam simulate."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from swayam_proxy.cli.root import swayam

SHORT = [
    "--synthetic",
    "steady",
    "--duration",
    "40s",
    "--frontends",
    "2",
    "--backends",
    "25",
    "--burst",
    "1.2",
]


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(swayam, ["simulate", *arguments])


def test_json_is_the_report_and_nothing_else() -> None:
    """Programs get one JSON object; the same seed gives the same bytes, another seed does not."""
    first, again, other = (_run(*SHORT, "--json", "--seed", seed) for seed in ("5", "5", "6"))
    assert first.exit_code == 0
    assert json.loads(first.stdout)["requests"] > 1000
    assert first.stdout == again.stdout != other.stdout


def test_people_get_a_table_and_a_plot(tmp_path: Path) -> None:
    """The promise is told in words, and the plot is written."""
    plot = tmp_path / "run.png"
    result = _run(*SHORT, "--policy", "knative", "--setting", "target_utilisation=0.8", "--plot", str(plot))
    assert result.exit_code == 0
    assert "99 % within 1.25 s" in result.stdout
    assert plot.stat().st_size > 5000


def test_a_trace_file_is_played_with_the_given_times(tmp_path: Path) -> None:
    """Counts need an execution time; the report says what was made up."""
    trace = tmp_path / "calls.csv"
    trace.write_text("t_s,count\n0,300\n10,300\n20,300\n")
    result = _run("--trace", str(trace), "--execution-time", "100ms", "--policy", "fixed", "--json")
    report = json.loads(result.stdout)
    assert (report["requests"], report["response_time_s"]) == (900, 0.5)
    assert "made up" in report["note"]
    assert "list of traces" not in result.stderr


def test_the_kinds_are_listed() -> None:
    """`--synthetic list` names all fifteen."""
    result = _run("--synthetic", "list")
    assert len(result.stdout.splitlines()) == 15


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name a trace"),
        (["--synthetic", "steady", "--trace", "x.csv"], "name a trace"),
        (["--synthetic", "nonsense"], "no synthetic trace is called 'nonsense'"),
        (["--trace", "/nonexistent/x.csv"], "cannot be read"),
        ([*SHORT, "--policy", "nonsense"], "no policy is called 'nonsense'"),
        ([*SHORT, "--policy", "knative", "--setting", "x"], "has no ="),
        ([*SHORT, "--policy", "knative", "--setting", "x=1"], "no setting 'x'"),
        ([*SHORT, "--dispatch", "nonsense"], "no dispatch 'nonsense'"),
        ([*SHORT, "--frontends", "0"], "at least one frontend"),
        ([*SHORT, "--response-time", "5y"], "not a duration"),
        ([*SHORT, "--burst", "big"], "neither a factor"),
        ([*SHORT, "--plot", "/nonexistent/x.png"], "cannot write"),
        ([*SHORT, "--start", "100h"], "cannot cut"),
    ],
)
def test_mistakes_end_in_two_lines(arguments: list[str], complaint: str) -> None:
    """What is wrong and what to do, exit status 2, no traceback."""
    result = _run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
