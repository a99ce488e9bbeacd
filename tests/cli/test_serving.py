"""serve and launch as real processes: what they say, and how they end."""

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE_S, outcome_of, running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_tells_its_addresses_and_ends_on_a_signal(config_path: Path, number: signal.Signals) -> None:
    """One line says where it listens; SIGTERM and Ctrl-C end it with status 0."""
    with running("serve", directory=config_path.parent) as (process, events):
        (event,) = events
        for address in (*event["listen"], event["admin"]):
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("words", [["serve"], ["launch", "-n", "2"]])
def test_a_port_in_use_is_told(config_path: Path, words: list[str]) -> None:
    """Two lines, exit status 1, no traceback."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, out, err = outcome_of(*words, "--set", f"listen.port={port}", directory=config_path.parent)
    assert (status, out) == (1, "")
    assert err.splitlines()[-2:] == [
        f"swayam: 127.0.0.1:{port} is in use",
        "  end the program that listens there, or choose another listen.port (0 takes a free one)",
    ]
    assert "Traceback" not in err


def test_launch_runs_several_and_drains_all(config_path: Path) -> None:
    """Each process says where it listens, all on one port; one signal ends them all with status 0."""
    with running("launch", "-n", "2", directory=config_path.parent, event="launched") as (process, events):
        listening = [event for event in events if event["event"] == "listening"]
        assert len(listening) == 2
        assert len({event["listen"][0] for event in listening}) == 1
        assert len({event["admin"] for event in listening}) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0


def test_a_wrong_file_starts_nothing(config_path: Path) -> None:
    """Both commands check all of the configuration first."""
    for words in (["serve"], ["launch", "-n", "2"]):
        status, out, err = outcome_of(
            *words, "--set", "services.digits.sla.level=2", directory=config_path.parent
        )
        assert (status, out) == (2, "")
        assert err == (
            "--set services.digits.sla.level: services.digits.sla.level is 2, but must be less than 1\n"
            "  write another number, such as level = 0.99\n"
        )
