"""The command: exit statuses, files, lines."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _loadtest.cli import command
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = [sys.executable, str(ROOT / "scripts" / "loadtest")]


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    """Two backends in a process of their own."""
    arguments = ["--port", "0", "--count", "2", "--mean", "2ms", "--slots", "16"]
    with subprocess.Popen(
        [sys.executable, "-m", "fake_backend", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1].split(",")
        process.terminate()


def ran(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the script to its end."""
    return subprocess.run([*SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_a_good_test(addresses: list[str], tmp_path: Path) -> None:
    """Status 0, three lines that matter, the seed, four files; the same numbers in lines and JSON."""
    out = tmp_path / "out"
    ended = ran(
        *addresses, "--rate", "100", "--duration", "1s", "--seed", "11", "--template", "v2",
        "--lag-limit", "5s",
        "--response-time", "10s", "--slo", "p99<10s,err<1%,within>99%", "--out", str(out), "--processes", "2",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "seed 11" in ended.stderr
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["goodput", "latency", "verdict"]
    assert ended.stdout.count("met ") == 3
    told = json.loads((out / "summary.json").read_text())
    assert told["requests_count"] == told["good_count"] == sum(told["backends"].values())
    assert len(told["backends"]) == 2
    assert {path.name for path in out.iterdir()} == {
        "summary.json",
        "seconds.csv",
        "latency.hgrm",
        "plot.png",
    }


def test_a_missed_promise(addresses: list[str]) -> None:
    """Status 3 and the condition that was missed; JSON on standard output."""
    ended = ran(
        addresses[0], "--rate", "50", "--duration", "500ms", "--slo", "p50<1us", "--json", "--lag-limit", "5s"
    )
    assert ended.returncode == 3
    assert json.loads(ended.stdout)["slo"] == [
        {"condition": "p50<1us", "value": pytest.approx(0.002, abs=5), "met": False}
    ]


def test_an_invalid_test(addresses: list[str]) -> None:
    """Status 1, although the conditions are met: a generator that was late proves nothing."""
    ended = ran(
        addresses[0], "--rate", "50", "--duration", "500ms", "--slo", "p99<30s", "--lag-limit", "0.001us"
    )
    assert ended.returncode == 1
    assert "INVALID: the generator fell behind" in ended.stdout


def test_ctrl_c_ends_with_what_there_is(addresses: list[str]) -> None:
    """One Ctrl-C: the summary of what was sent, INVALID, status 1, no traceback, within seconds."""
    with subprocess.Popen(
        [*SCRIPT, addresses[0], "--rate", "50", "--duration", "1h", "--requests", "1000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stdout is not None
        assert "seed" in process.stderr.readline()
        _until_requests_came(addresses[0], 5)
        os.killpg(process.pid, signal.SIGINT)
        said, complaints = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "interrupted" in said
    assert "Traceback" not in complaints


def _until_requests_came(address: str, count: int) -> None:
    def requests_count() -> int:
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=5) as asking:
            asking.sendall(b"GET /fake/stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with asking.makefile("rb") as answer:
                body = answer.read().partition(b"\r\n\r\n")[2]
        return int(json.loads(body)["requests"])

    first, deadline = requests_count(), time.monotonic() + 20
    while requests_count() < first + count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_nobody_there() -> None:
    """Status 4 and the address, in two lines."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = CliRunner().invoke(command, [f"127.0.0.1:{port}", "--rate", "10"])
    assert ended.exit_code == 4
    assert len(ended.output.strip().splitlines()) == 2
    assert str(port) in ended.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--rate"),
        (["--rate", "10", "--load", "ramp:1-2"], "one of --rate"),
        (["--load", "upwards"], "write constant:100"),
        (["--rate", "10", "--slo", "p99"], "write for example"),
        (["--rate", "10", "--slo", "within>99%"], "--response-time"),
        (["--rate", "10", "--duration", "5"], "5ms"),
        (["--rate", "10", "--header", "nocolon"], "Name: value"),
        (["--rate", "10", "--path", "x"], "begin it with /"),
        (["--rate", "10", "--stream"], "--template openai"),
        (["--rate", "1000000", "--duration", "1h"], "lower the rate"),
        (["--trace", "no/such.csv"], "cannot be read"),
        (["--find-max"], "--slo"),
    ],
)
def test_bad_usage(addresses: list[str], arguments: list[str], complaint: str) -> None:
    """Status 2, what is wrong and what to do, no traceback."""
    ended = CliRunner().invoke(command, [addresses[0], *arguments])
    assert ended.exit_code == 2
    assert complaint in ended.output
    assert "Traceback" not in ended.output


def test_remote_targets_need_a_switch() -> None:
    """Status 2 without one byte sent."""
    ended = CliRunner().invoke(command, ["192.0.2.1:80", "--rate", "10"])
    assert ended.exit_code == 2
    assert "--allow-remote" in ended.output


def test_help_explains_everything() -> None:
    """Every option has a text; the exit statuses are listed."""
    ended = CliRunner().invoke(command, ["--help"], terminal_width=200, max_content_width=200)
    assert ended.exit_code == 0
    for option in command.params:
        assert option.name == "targets" or option.help, option.name  # type: ignore[attr-defined]
    assert "3 --slo missed" in ended.output
