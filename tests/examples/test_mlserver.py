"""The examples with a real model server, run as a user would run them, only shorter."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mlserver" / "run"
MLSERVER = ROOT / ".venv-mlserver" / "bin" / "mlserver"


pytestmark = [
    pytest.mark.model_server,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not MLSERVER.exists(),
        reason="no packages of a real model server here; get them with scripts/setup-venv mlserver",
    ),
]


def told_by(*words: str) -> str:
    """Run the example, which must end well, and return what it printed."""
    ended = subprocess.run([EXAMPLE, *words], capture_output=True, text=True, timeout=280.0, check=False)
    told = f"{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, told
    assert "Traceback" not in told, told
    return told


def test_real_predictions_through_two_proxies() -> None:
    """Two proxies before real MLServers change no prediction, and a short load test loses no request."""
    told = told_by("--servers", "2", "--seconds", "3", "--rate", "20")
    assert "64 predictions through the proxies equal those asked directly" in told
    assert re.search(r"errors 0\.000%", told), told
    used = [re.findall(r"\d+", row) for row in re.findall(r"requests to each: \[(.*)\]", told)]
    assert len(used) == 2, told
    counts = [int(count) for row in used for count in row]
    assert sum(counts) >= 64 + 40, "each request went to one backend, through one of the proxies"


def test_real_servers_come_and_go_behind_sidecars() -> None:
    """From nothing to a first prediction, the same predictions, a second server under a load that one cannot
    serve in time, no request lost, and none of both after the lull.
    """
    told = told_by(
        "--sidecars", "--proxies", "1", "--servers", "2", "--seconds", "6", "--rate", "60", "--promise", "12"
    )
    assert "before 2 sidecars; model servers that run: 0" in told
    assert re.search(r"first prediction \d+\.\d s after the call, from nothing", told), told
    assert "64 predictions through the proxies equal those of the sidecar, and of the forest itself" in told
    assert re.search(r"errors 0\.000%", told), told
    assert "most model servers at a time: 2 of 2" in told, told
    assert re.search(r"no model server runs any more, \d+\.\d s after the last call", told), told
