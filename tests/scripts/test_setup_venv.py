"""Setting up an environment: at once when it is there, by several at a time, clear about nonsense."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "scripts" / "setup-venv"


def test_a_ready_environment_is_left_alone() -> None:
    """Several calls at a time end well, and say nothing, because there is nothing to do."""
    if not (ROOT / ".venv" / "ready-test").exists():
        subprocess.run([SETUP, "test"], check=True)
    calls = [subprocess.Popen([SETUP, name], stderr=subprocess.PIPE) for name in ("test", "demo", "test")]
    for call in calls:
        _, said = call.communicate(timeout=60.0)
        assert (call.returncode, said) == (0, b"")


def test_an_unknown_environment_is_told() -> None:
    """Exit status 2 and two lines: what is wrong, what there is."""
    ended = subprocess.run([SETUP, "everything"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines() == [
        "scripts/setup-venv: unknown environment 'everything'",
        "choose one of: demo, test, mlserver",
    ]
