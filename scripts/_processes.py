"""Processes that a script starts beside itself, from this tree, and ends whatever happens."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_GRACE_S = 15.0


def environment() -> dict[str, str]:
    """Return our environment, with this tree's packages before installed ones."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@contextmanager
def running(words: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command whose output goes to `log`; it is asked to end, and killed when it does not in time."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            words, env=environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
