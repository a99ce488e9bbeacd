"""The command line of a machine: which pool, which room, and what it refuses to stand before."""

from pathlib import Path
from typing import Any

import pytest

from swayam_proxy import wiring
from swayam_proxy.cli.failure import Exit
from swayam_proxy.sidecar.settings import MachineSettings
from tests.cli.conftest import Run

SERVICE = """
[services.{name}]
pool = "{pool}"
sla = {{ response_time = "1s", level = 0.99 }}
routes = [{{ path_prefix = "/{name}" }}]
"""
SERVER = """
[services.{name}.server]
command = ["serve", "{{port}}"]
"""
GPU = '[pools.gpu]\nmachines = ["10.0.0.1:9001"]\nroom = 3\n' + (SERVICE + SERVER).format(
    name="a", pool="gpu"
)
CPU = '[pools.cpu]\nmachines = ["10.0.0.2:9001"]\n' + (SERVICE + SERVER).format(name="b", pool="cpu")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[MachineSettings]:
    """What machines are started with: nothing is started."""
    settings_seen: list[MachineSettings] = []

    def run_sidecar(settings: MachineSettings, **_: Any) -> int:
        settings_seen.append(settings)
        return 0

    monkeypatch.setattr(wiring, "run_sidecar", run_sidecar)
    monkeypatch.chdir(tmp_path)
    return settings_seen


def test_the_only_pool_need_not_be_named(run: Run, started: list[MachineSettings]) -> None:
    """Its services, its room, where it listens; the log and the loop are those of the file."""
    Path("swayam.toml").write_text(GPU)
    result = run("machine", "--listen", "127.0.0.1:0")
    assert (result.exit_code, result.stderr) == (Exit.OK, "")
    (settings,) = started
    assert [name for name, _ in settings.services] == ["a"]
    assert (settings.host, settings.port, settings.room_count, settings.token) == ("127.0.0.1", 0, 3, None)


def test_pool_room_and_token_can_be_told(
    run: Run, started: list[MachineSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that others can reach wants a token, best from the environment."""
    Path("swayam.toml").write_text(GPU + CPU)
    monkeypatch.setenv("SWAYAM_POOLS__CPU__TOKEN", "s3cret")
    words = ["machine", "--listen", "0.0.0.0:9001", "--pool", "cpu", "--room", "2"]
    assert run(*words).exit_code == Exit.OK
    (settings,) = started
    assert [name for name, _ in settings.services] == ["b"]
    assert (settings.room_count, settings.token) == (2, "s3cret")
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (GPU + CPU, [], "swayam: there are several pools\n  write --pool gpu or cpu"),
        (GPU + CPU, ["--pool", "gpuu"], "swayam: --pool gpuu: there is no such pool\n  did you mean gpu?"),
        (GPU, ["--pool", "x"], "--pool x: there is no such pool\n  write gpu"),
        (GPU, ["--room", "0"], "0 is not in the range"),
        (GPU, ["--listen", "0.0.0.0:9001"], "add token to [pools.gpu], better by SWAYAM_POOLS__GPU__TOKEN"),
        (
            GPU.replace(SERVER.format(name="a"), ""),
            [],
            "swayam: how service a is started is not said\n  add a table [services.a.server]",
        ),
        (
            SERVICE.format(name="a", pool="gpu").replace('pool = "gpu"', 'backends = ["h:1"]'),
            [],
            "swayam: the configuration has no pool that a service uses\n  add a table [pools.NAME]",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run, started: list[MachineSettings], text: str, words: list[str], message: str
) -> None:
    """Status 2, what is wrong, and what would be right; nothing is started."""
    Path("swayam.toml").write_text(text)
    result = run("machine", "--listen", "127.0.0.1:0", *words)
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr
    assert started == []
