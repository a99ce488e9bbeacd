"""What `launch --backends` runs: which backends are on this machine, and by which command lines."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swayam_proxy.cli.backends import backend_commands
from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.config.load import load
from swayam_proxy.config.schema import Config
from swayam_proxy.provision.kept import Command

SERVICE = """
[services.{name}]
sla = {{ response_time = "1s", level = 0.99 }}
routes = [{{ path_prefix = "/{name}" }}]
"""
SERVER = (
    'server = { command = ["serve", "--port", "{port}"], health = "/up", idle = "90s", stop_grace = "2s" }\n'
)
POOL = '[pools.box]\nmachines = ["127.0.0.1:9001", { address = "[::1]:9002", room = 3 }, "10.0.0.1:9001"]\n'

Read = Callable[[str], Config]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return what reads a configuration."""

    def read_text(text: str) -> Config:
        path = tmp_path / "swayam.toml"
        path.write_text(text)
        return load(path, {}).config

    return read_text


def commands_of(config: Config) -> list[Command]:
    """Return what is run for a configuration, named "swayam.toml" on the command line."""
    return backend_commands(config, Path("swayam.toml"), ["admin.port=0"])


def test_each_backend_here_gets_its_sidecar(read: Read) -> None:
    """With the options of the table, its own slots, and its token in the environment; others stay alone."""
    backends = 'backends = ["127.0.0.1:9001", { address = "localhost:9002", slots = 4 }, "10.0.0.1:9001"]\n'
    config = read(SERVICE.format(name="a") + backends + 'sidecar = { token = "s3cret" }\n' + SERVER)
    first, second = commands_of(config)
    assert first.line("127.0.0.1:9001")[1:] == (
        "-m", "swayam_proxy", "sidecar", "--listen", "127.0.0.1:9001", "--slots", "1", "--health", "/up",
        "--misses", "5", "--idle", "1m30s", "--setup-timeout", "5m", "--drain", "30s", "--stop-grace", "2s",
        "--lease", "50ms", "--", "serve", "--port", "{port}",
    )  # fmt: skip
    assert second.line(second.address)[4:8] == ("--listen", "localhost:9002", "--slots", "4")
    assert first.environment == {"SWAYAM_SIDECAR_TOKEN": "s3cret"}
    assert "s3cret" not in " ".join(first.line(first.address))


def test_a_plain_server_is_run_itself_behind_a_warden(read: Read) -> None:
    """At the port of its backend, which it is told in its words and in its environment."""
    (command,) = commands_of(read(SERVICE.format(name="a") + 'backends = ["127.0.0.1:9001"]\n' + SERVER))
    assert command.line(command.address)[0] == sys.executable
    assert command.line(command.address)[-3:] == ("serve", "--port", "9001")
    assert command.environment == {"SWAYAM_SERVER_HOST": "127.0.0.1", "SWAYAM_SERVER_PORT": "9001"}
    assert command.has_warden and command.stop_grace_s == 2.0


def test_each_machine_here_is_run_with_the_same_configuration(read: Read) -> None:
    """With its own room; those elsewhere are left alone."""
    config = read(POOL + SERVICE.format(name="a") + 'pool = "box"\n' + SERVER)
    first, second = commands_of(config)
    assert first.line(first.address)[1:] == (
        "-m", "swayam_proxy", "machine", "--listen", "127.0.0.1:9001", "--pool", "box",
        "--config", "swayam.toml", "--set", "admin.port=0", "--room", "1",
    )  # fmt: skip
    assert second.line(second.address)[-2:] == ("--room", "3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SERVICE.format(name="a") + 'backends = ["127.0.0.1:9001"]',
            "there is nothing on this machine to run",
        ),
        (
            SERVICE.format(name="a") + 'backends = ["10.0.0.1:9001"]\n' + SERVER,
            "there is nothing on this machine to run",
        ),
        (
            POOL
            + SERVICE.format(name="a")
            + 'pool = "box"\n'
            + SERVER
            + SERVICE.format(name="b")
            + 'pool = "box"\n',
            "pool box: how service b is started is not said",
        ),
    ],
)
def test_what_cannot_be_run_is_told(read: Read, text: str, message: str) -> None:
    """Before anything is started."""
    with pytest.raises(CommandFailed) as caught:
        commands_of(read(text))
    assert message in caught.value.what
    assert caught.value.status == Exit.USAGE
