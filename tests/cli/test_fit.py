"""swayam fit."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from swayam_proxy.cli.root import swayam


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(swayam, ["fit", *arguments])


@pytest.fixture
def log_normal(tmp_path: Path) -> Path:
    """Ten thousand log-normal executions around 50 ms with cv 0.3."""
    rng = np.random.default_rng(1)
    sigma = np.sqrt(np.log(1.09))
    path = tmp_path / "executions.txt"
    path.write_text("\n".join(map(str, rng.lognormal(np.log(50.0) - sigma**2 / 2, sigma, 10_000))))
    return path


def test_log_normal_times_are_found(log_normal: Path) -> None:
    """Mean, cv and percentiles are those of the law that made the file."""
    result = _run(str(log_normal), "--unit", "ms", "--json")
    found = json.loads(result.stdout)
    assert found["samples"] == 10_000
    assert found["mean_s"] == pytest.approx(0.05, rel=0.01)
    assert found["cv"] == pytest.approx(0.3, rel=0.03)
    assert found["distribution"] == "log-normal"
    assert found["ks"] < 0.02
    for quantile in found["quantiles"][:4]:
        assert quantile["fitted_s"] == pytest.approx(quantile["observed_s"], rel=0.03)


def test_two_humps_are_not_called_log_normal(tmp_path: Path) -> None:
    """Where log-normal fits badly it says so, and plots what is used instead."""
    path = tmp_path / "executions.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("name,service_s\n" + "".join(f"x,{0.02 if k % 4 else 0.2}\n" for k in range(4000)))
    plot = tmp_path / "fit.png"
    result = _run(str(path), "--plot", str(plot))
    assert result.exit_code == 0, result.stderr
    assert "fits badly" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_one_sample_is_enough(tmp_path: Path) -> None:
    """A single execution does not break it."""
    path = tmp_path / "one.txt"
    path.write_text("0.25\n")
    found = json.loads(_run(str(path), "--json").stdout)
    assert found["mean_s"] == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("no execution time",)),
        ("a,b\n1,2\n", ("which column", "--column")),
        ("0.1\nfast\n", (":2:", "is no number")),
        ("0.1\n-3\n", ("no execution time",)),
        ("0.1\nnan\n", ("no execution time",)),
    ],
)
def test_broken_files_end_with_two_lines(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """The file, the line and what to do; exit status 2."""
    path = tmp_path / "broken.csv"
    path.write_text(text)
    result = _run(str(path))
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    for word in (str(path), *words):
        assert word in result.stderr


def test_missing_column_names_those_there(tmp_path: Path) -> None:
    """A wrong --column is answered with the right ones."""
    path = tmp_path / "x.csv"
    path.write_text("when,took\n1,2\n")
    assert json.loads(_run(str(path), "--column", "took", "--json").stdout)["samples"] == 1
    assert "when, took" in _run(str(path), "--column", "duration").stderr
