"""scripts/evaluate, on a trace of one minute."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "evaluate"), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.slow
def test_it_writes_tables_and_plots_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """The report names every policy, the plots exist, and a second run plays nothing again."""
    rng = np.random.default_rng(3)
    arrivals = np.sort(rng.uniform(0.0, 60.0, 600))
    lines = [
        f"{at:.4f},{took:.4f}" for at, took in zip(arrivals, rng.lognormal(-1.65, 0.2, 600), strict=True)
    ]
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "calls.csv").write_text("arrival_s,service_s\n" + "\n".join(lines) + "\n")
    arguments = ["--traces", str(tmp_path / "traces"), "--quick", "--processes", "1", "--only", "keda"]
    arguments += ["--no-ablations", "--store", str(tmp_path / "store"), "--output", str(tmp_path / "docs")]
    first = _run(*arguments)
    assert first.returncode == 0, first.stderr
    report = (tmp_path / "docs" / "evaluation.md").read_text()
    for name in ("swayam, auto", "swayam, U = 2 (deck)", "keda, defaults", "keda, tuned", "calls"):
        assert name in report
    for name in ("backends", "frontier", "responses"):
        assert (tmp_path / "docs" / "plots" / f"{name}.png").stat().st_size > 5_000
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    assert len(kept) >= 9
    assert _run(*arguments).returncode == 0
    assert kept == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
    assert report == (tmp_path / "docs" / "evaluation.md").read_text()


def test_mistakes_are_told() -> None:
    """An unknown baseline and a directory without traces end with exit status 2 and no traceback."""
    for arguments in (["--only", "nonsense"], ["--traces", str(ROOT / "scripts" / "_evaluate")]):
        result = _run(*arguments)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr
