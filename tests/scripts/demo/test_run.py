"""The demonstration itself, from start to the last process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = [sys.executable, str(ROOT / "scripts" / "demo")]


def children(pid: int) -> list[psutil.Process]:
    """Return every process that the demonstration started."""
    return psutil.Process(pid).children(recursive=True)


def until_gone(processes: list[psutil.Process]) -> None:
    """Fail if one of the processes is alive after ten seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


@pytest.mark.slow
def test_it_ends_by_itself_on_a_terminal() -> None:
    """A live page, a summary, status 0 or 3 as the summary says, and nobody left behind."""
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    child = pexpect.spawn(
        SCRIPT[0], [SCRIPT[1], "--seconds", "5", "--seed", "3"], cwd=str(ROOT), env=environment,
        encoding="utf-8", timeout=60, dimensions=(40, 110),
    )  # fmt: skip
    child.expect("/metrics")
    child.expect("backends 1 to n")
    child.expect("photos")
    started = children(child.pid)
    assert len(started) >= 5
    kept = []
    for name in ("photos", "texts"):
        child.expect(name + r": promise (kept|MISSED): ([\d.]+)% of (\d+) requests")
        kept.append(child.match.group(1))
        assert int(child.match.group(3)) > 20
    child.expect(r"set-ups (\d+)")
    assert int(child.match.group(1)) >= 4
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (3 if "MISSED" in kept else 0)
    until_gone(started)


@pytest.mark.slow
def test_ctrl_c_ends_it_in_order() -> None:
    """Without a terminal: plain lines without escapes; Ctrl-C gives the summary, and every process ends."""
    with subprocess.Popen(
        SCRIPT, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = []
        deadline = time.monotonic() + 60
        while not any("prefix" in line for line in said):
            assert time.monotonic() < deadline
            said.append(process.stdout.readline())
        started = children(process.pid)
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=60)
    assert "\x1b" not in "".join(said) + rest
    assert "promise" in rest
    assert "Traceback" not in complaints
    assert process.returncode == (3 if "promise MISSED" in rest else 0)
    until_gone(started)


def test_bad_usage() -> None:
    """A length that makes no sense is refused before anything starts."""
    ended = subprocess.run(
        [*SCRIPT, "--seconds", "1"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 2
    assert "--seconds" in ended.stderr
