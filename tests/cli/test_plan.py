"""swayam plan."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from swayam_proxy.cli.root import swayam

LOAD = ["--rate", "200", "--exec-mean", "50ms", "--exec-cv", "0.3", "--response-time", "250ms"]


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(swayam, ["plan", *arguments])


def _asked(*arguments: str) -> dict[str, Any]:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_documented_example() -> None:
    """Ten erlangs, five executions, 99 %: eleven backends with late binding, bound by the load."""
    found = _asked(*LOAD, "--level", "0.99", "--burst", "1", "--dispatch", "late-binding")
    assert (found["backends"], found["feasible"], found["binding"]) == (11, True, "load")
    assert 0.9 < found["utilisation"] < 0.92
    shares = {point["n"]: point["share"] for point in found["attainment"]}
    assert shares[10] < 0.99 <= shares[11] < shares[12]


def test_dispatch_decides_how_many_are_needed() -> None:
    """Random dispatch needs about twice the backends of a central queue, own counts lie between."""
    needs = {
        name: _asked(*LOAD, "--dispatch", name)["backends"] for name in ("central-queue", "p2c", "random")
    }
    assert needs["central-queue"] == 11
    assert needs["central-queue"] < needs["p2c"] < needs["random"]
    assert 18 <= needs["random"] <= 22


def test_one_line_per_thing_that_people_ask(tmp_path: Path) -> None:
    """The table names n, the promise, the curve and the reactions; the plot is written."""
    plot = tmp_path / "plan.png"
    result = _run(*LOAD, "--price", "2.5", "--plot", str(plot))
    assert result.exit_code == 0
    for word in ("backends", "99 % within 250 ms", "<- needed", "execution cv", "cost a month"):
        assert word in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_infeasible_promises_say_what_would_do() -> None:
    """It is an answer, not an error; no n is pretended to help."""
    found = _asked("--rate", "200", "--exec-mean", "50ms", "--response-time", "80ms")
    assert not found["feasible"]
    assert found["binding"] == "execution"
    assert any("response time" in remedy for remedy in found["remedies"])
    assert "or rather" in _run("--rate", "200", "--exec-mean", "50ms", "--response-time", "80ms").stdout


def test_trace_is_planned_for_its_busiest_minute(tmp_path: Path) -> None:
    """A trace of counts: n for the peak, and the mean of following it."""
    trace = tmp_path / "counts.csv"
    trace.write_text("t_s,count\n" + "".join(f"{60 * k},{600 * (1 + 9 * (k == 3))}\n" for k in range(6)))
    plot = tmp_path / "plan.png"
    found = _asked(
        "--trace", str(trace), "--exec-mean", "100ms", "--dispatch", "central-queue", "--plot", str(plot)
    )
    assert found["rate_per_s"] == pytest.approx(100.0, rel=0.01)
    assert found["cost"]["peak_backends"] == found["backends"]
    assert 1.0 < found["cost"]["mean_backends_following"] < found["backends"] / 2.0
    assert plot.exists()


def test_trace_with_executions_needs_no_more(tmp_path: Path) -> None:
    """A per-request trace brings its own execution times."""
    trace = tmp_path / "requests.csv"
    trace.write_text(
        "arrival_s,service_s\n" + "".join(f"{0.1 * k},{0.2 + 0.001 * (k % 7)}\n" for k in range(2000))
    )
    found = _asked("--trace", str(trace), "--response-time", "5x")
    assert found["erlangs"] == pytest.approx(2.0, rel=0.05)


def test_samples_replace_mean_and_cv(tmp_path: Path) -> None:
    """Measured executions lead to what their mean and cv lead to."""
    samples = tmp_path / "executions.txt"
    samples.write_text("\n".join(str(50 + (k % 11) - 5) for k in range(1000)))
    found = _asked("--rate", "200", "--samples", str(samples), "--unit", "ms", "--response-time", "250ms")
    assert found["erlangs"] == pytest.approx(10.0, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ("name a load", "--rate")),
        (["--rate", "5"], ("name the execution time", "--exec-mean")),
        (["--rate", "-5", "--exec-mean", "50ms"], ("rate",)),
        (["--rate", "nan", "--exec-mean", "50ms"], ("rate",)),
        (["--rate", "5", "--exec-mean", "50"], ('is "50", not a duration', "250ms")),
        (["--rate", "5", "--exec-mean", "50ms", "--level", "1.5"], ("level",)),
        (["--rate", "5", "--exec-mean", "0s"], ("positive mean",)),
        (["--rate", "5", "--exec-mean", "50ms", "--response-time", "0s"], ("threshold",)),
        (["--rate", "5", "--exec-mean", "50ms", "--burst", "-1"], ("burst",)),
        (["--rate", "5", "--exec-mean", "50ms", "--samples", "x"], ("two execution times",)),
        (["--trace", "nowhere.csv", "--exec-mean", "50ms"], ("nowhere.csv",)),
        (["--rate", "5", "--samples", "nowhere.txt"], ("nowhere.txt", "cannot be read")),
        (["--rate", "5", "--exec-mean", "50ms", "--plot", "/nowhere/x.png"], ("cannot write",)),
    ],
)
def test_wrong_input_ends_with_two_lines(arguments: list[str], words: tuple[str, ...]) -> None:
    """What is wrong and what to do, exit status 2, no traceback."""
    result = _run(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
