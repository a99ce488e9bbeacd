"""What runs commands: inside this process for what only reads, as a real process for what runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from swayam_proxy.cli.root import swayam

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
CONFIG = """
[listen]
port = 0
[admin]
port = 0
[process]
access_log = "off"
[services.digits]
backends = ["127.0.0.1:9", "localhost:9", { address = "127.0.0.2:9", slots = 4 }]
sla = { response_time = "500ms", level = 0.99 }
"""

Run = Callable[..., Result]


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """A right configuration, in the directory of the test."""
    path = tmp_path / "swayam.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs `swayam` in the directory of the test, without the SWAYAM_ variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("SWAYAM_"):
            monkeypatch.delenv(name)

    def run_words(*words: str, **environment: str) -> Result:
        return CliRunner().invoke(swayam, list(words), env=environment, prog_name="swayam")

    return run_words


def process_of(*words: str, directory: Path) -> subprocess.Popen[str]:
    """Start `swayam` as a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SWAYAM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "swayam_proxy", *words],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome_of(*words: str, directory: Path) -> tuple[int, str, str]:
    """Run `swayam` as a process until it ends; return status, standard output, standard error."""
    with process_of(*words, directory=directory) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


@contextmanager
def running(
    *words: str, directory: Path, event: str = "listening"
) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Run a serving command up to its `event`; yields the process and its events. Killed if it stays."""
    process = process_of(*words, directory=directory)
    assert process.stderr is not None
    events: list[dict[str, Any]] = []
    said = ""
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not any(each["event"] == event for each in events):
            line = process.stderr.readline()
            said += line
            assert line, f"ended with {process.wait(PATIENCE_S)}:\n{said}"
            assert time.monotonic() < deadline, f"no event {event}"
            if line.startswith("{"):
                events.append(json.loads(line))
        yield process, events
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE_S)
