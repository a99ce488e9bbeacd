"""The example with a real model server, run as a user would run it, only shorter."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mlserver" / "run"
MLSERVER = ROOT / ".venv-mlserver" / "bin" / "mlserver"


@pytest.mark.model_server
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not MLSERVER.exists(),
    reason="no packages of a real model server here; get them with scripts/setup-venv mlserver",
)
def test_real_predictions_through_two_proxies() -> None:
    """Two proxies before real MLServers change no prediction, and a short load test loses no request."""
    ended = subprocess.run(
        [EXAMPLE, "--servers", "2", "--seconds", "3", "--rate", "20"],
        capture_output=True,
        text=True,
        timeout=280.0,
        check=False,
    )
    told = f"{ended.stdout}\n{ended.stderr}"
    assert ended.returncode == 0, told
    assert "64 predictions through the proxies equal those asked directly" in ended.stdout, told
    assert re.search(r"errors 0\.000%", told), told
    used = [re.findall(r"\d+", row) for row in re.findall(r"requests to each: \[(.*)\]", ended.stdout)]
    assert len(used) == 2, told
    counts = [int(count) for row in used for count in row]
    assert sum(counts) >= 64 + 40, "each request went to one backend, through one of the proxies"
    for text in (ended.stdout, ended.stderr):
        assert "Traceback" not in text, told
