"""The process: its words, its exit status, its end."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from fake_backend.cli import command, fleet_settings
from fake_backend.faults import FaultKind
from fake_backend.settings import FleetSettings, ServerState, SidecarSettings

ROOT = Path(__file__).resolve().parents[2]
MODULE = [sys.executable, "-m", "fake_backend"]


def started(*arguments: str) -> "subprocess.Popen[str]":
    """Start a process on a free port; its first line says where it listens."""
    return subprocess.Popen(
        [*MODULE, "--port", "0", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """It says where it listens, on standard output and in the file, answers, and ends with status 0."""
    ready_file = tmp_path / "ready"
    with started("--count", "3", "--mean", "1ms", "--ready-file", str(ready_file)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        word, _, listed = process.stdout.readline().strip().partition(" ")
        addresses = listed.split(",")
        assert (word, len(addresses)) == ("ready", 3)
        assert ready_file.read_text().splitlines() == addresses
        with urllib.request.urlopen(f"http://{addresses[2]}/x", timeout=10) as response:
            assert response.headers["X-Backend"].startswith("3:")
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""


def test_ends_while_work_is_in_flight() -> None:
    """A signal ends the process within seconds, although a request would run for an hour."""
    with started() as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().split()[1].rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /x?execution=1h HTTP/1.1\r\nHost: a\r\n\r\n")
            process.terminate()
            assert process.wait(timeout=15) == 0


def test_a_taken_port_is_said_clearly() -> None:
    """Exit status 1, the address, what to do, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [*MODULE, "--port", str(port)], cwd=ROOT, capture_output=True, text=True, timeout=30
        )
    assert ended.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mean", "5"], "5ms"),
        (["--mean", "0s"], "above 0"),
        (["--scale", "nan"], "above 0"),
        (["--cv", "-1"], "cv"),
        (["--slots", "0"], "slots"),
        (["--queue", "lifo"], "fifo"),
        (["--fault-rate", "0.5"], "--fault"),
        (["--fault", "reset"], "--fault-rate"),
        (["--fault", "explode", "--fault-rate", "0.5"], "known are"),
        (["--port", "65530", "--count", "100"], "65535"),
        (["--samples", "no/such/file"], "cannot be read"),
        (["--nonsense"], "nonsense"),
        (["--idle", "60s"], "--sidecar"),
        (["--drain", "1s"], "--sidecar"),
        (["--token-file", "x"], "--sidecar"),
        (["--sidecar", "--queue", "fifo"], "never queue"),
        (["--sidecar", "--lease", "0s"], "above 0"),
        (["--sidecar", "--host", "0.0.0.0"], "--token-file"),
        (["--sidecar", "--token-file", "no/such/file"], "cannot be read"),
        (["--sidecar", "--token-file", "/dev/null"], "one word"),
        (["--start", "draining"], "warming"),
    ],
)
def test_bad_values_are_usage_errors(arguments: list[str], complaint: str) -> None:
    """Exit status 2 and a text that names what is wrong."""
    ended = CliRunner().invoke(command, arguments)
    assert ended.exit_code == 2
    assert complaint in ended.output
    assert "Traceback" not in ended.output


def test_what_the_sidecar_options_mean(tmp_path: Path) -> None:
    """Cold, busy, 60 s and 50 ms unless told otherwise; 0s never idles; the token is the file's one word."""
    token_file = tmp_path / "token"
    token_file.write_text("secret\n")

    def meant(*words: str) -> FleetSettings:
        return fleet_settings(command.make_context("x", list(words)).params)

    plain = meant("--sidecar", "--setup", "3s").backend
    assert plain.sidecar == SidecarSettings("", 60.0, 0.05)
    assert (plain.start, plain.setup_s) == (ServerState.COLD, 3.0)
    words = ["--sidecar", "--token-file", str(token_file), "--idle", "0s", "--lease", "80ms", "--drain", "1s"]
    told = meant(*words, "--host", "0.0.0.0")
    assert told.backend.sidecar == SidecarSettings("secret", float("inf"), 0.08)
    assert told.drain_s == 1.0
    assert "secret" not in repr(told)


def test_a_second_signal_does_not_wait() -> None:
    """The first drains, which a long request would make last; the second ends it at once."""
    with started("--sidecar", "--start", "warm", "--drain", "1m") as process:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().split()[1].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /x?execution=1h HTTP/1.1\r\nHost: a\r\n\r\n")
            with socket.create_connection((host, int(port)), timeout=10) as asking:
                state = ""
                while '"running": 1' not in state:
                    asking.sendall(b"GET /swayam/state HTTP/1.1\r\nHost: a\r\n\r\n")
                    state = asking.recv(65536).decode()
                process.terminate()
                while "DRAINING" not in state:
                    asking.sendall(b"GET /swayam/state HTTP/1.1\r\nHost: a\r\n\r\n")
                    state = asking.recv(65536).decode()
            process.terminate()
            assert process.wait(timeout=15) == 0


def test_help_explains_everything() -> None:
    """Every option has a text, and every fault is listed with its meaning."""
    ended = CliRunner().invoke(command, ["--help"], terminal_width=200, max_content_width=200)
    assert ended.exit_code == 0
    for option in command.params:
        assert option.help, option.name  # type: ignore[attr-defined]
        assert option.opts[-1] in ended.output
    for kind in FaultKind:
        assert f"{kind}" in ended.output


def test_the_standard_loop_serves_too(tmp_path: Path) -> None:
    """Where uvloop is missing, asyncio's own loop runs the same server."""
    (tmp_path / "uvloop.py").write_text("raise ImportError\n")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    with subprocess.Popen(
        [*MODULE, "--port", "0", "--mean", "1ms"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        with urllib.request.urlopen(f"http://{address}/x?fault=status:201", timeout=10) as response:
            assert response.status == 201
        process.terminate()
        assert process.wait(timeout=10) == 0
