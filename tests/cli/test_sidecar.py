"""The command line of the sidecar: what it is told, and what it refuses to be told."""

from pathlib import Path
from typing import Any

import pytest

from swayam_proxy import wiring
from swayam_proxy.cli.failure import Exit
from swayam_proxy.sidecar.settings import LifeSettings, ServerSettings, SidecarSettings
from tests.cli.conftest import Run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[SidecarSettings]:
    """What sidecars are started with: nothing is started."""
    settings_seen: list[SidecarSettings] = []

    def run_sidecar(settings: SidecarSettings, **_: Any) -> int:
        settings_seen.append(settings)
        return 0

    monkeypatch.setattr(wiring, "run_sidecar", run_sidecar)
    monkeypatch.delenv("SWAYAM_SIDECAR_TOKEN", raising=False)
    return settings_seen


def test_command_is_taken_with_its_own_options(run: Run, started: list[SidecarSettings]) -> None:
    """What stands behind -- is the model server's; defaults are those of the settings."""
    assert run("sidecar", "--", "python", "-m", "server", "--slots", "{port}").exit_code == Exit.OK
    command = ("python", "-m", "server", "--slots", "{port}")
    assert started == [SidecarSettings(ServerSettings(command), port=9001)]


def test_everything_can_be_told(run: Run, started: list[SidecarSettings], tmp_path: Path) -> None:
    """Each option reaches the settings, in seconds."""
    (tmp_path / "token").write_text("s3cret\n")
    words = [
        "--listen", "0.0.0.0:0", "--server", "[::1]:8000", "--slots", "4",
        "--health", "/ready", "--misses", "0", "--idle", "90s", "--setup-timeout", "1m",
        "--drain", "5s", "--stop-grace", "0s", "--lease", "20ms",
        "--token-file", str(tmp_path / "token"), "--output", "server.log", "--", "serve",
    ]  # fmt: skip
    result = run("sidecar", *words)
    assert (result.exit_code, result.stderr) == (Exit.OK, "")
    (settings,) = started
    assert settings.server == ServerSettings(("serve",), "::1", 8000, 0.0, "server.log")
    assert (settings.host, settings.port, settings.slots) == ("0.0.0.0", 0, 4)
    assert (settings.token, settings.lease_s, settings.health.path) == ("s3cret", 0.02, "/ready")
    assert settings.health.fall_count == 0
    assert settings.life == LifeSettings(90.0, 60.0, 5.0)
    assert "s3cret" not in repr(settings)


def test_attached_server_never_idles(run: Run, started: list[SidecarSettings]) -> None:
    """Without a command there is nothing to stop; idle 0 means never, too."""
    assert run("sidecar", "--server", "127.0.0.1:8000").exit_code == Exit.OK
    assert run("sidecar", "--idle", "0", "--", "serve", "{port}").exit_code == Exit.OK
    assert [settings.life.idle_s for settings in started] == [float("inf")] * 2


def test_port_that_nobody_is_told_is_warned_of(run: Run, started: list[SidecarSettings]) -> None:
    """A command without {port} may read it from its environment, or may have been forgotten."""
    result = run("sidecar", "--", "serve")
    assert result.exit_code == Exit.OK
    assert "SWAYAM_SERVER_PORT" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "swayam: which model server?\n  add --server HOST:PORT for one that runs, or -- COMMAND"),
        (["--server", "127.0.0.1:0"], "swayam: --server has port 0\n  name the port"),
        (["--server", "nowhere"], 'is "nowhere", which has no port'),
        (["--listen", "a:99999", "--", "serve"], "there is no port 99999"),
        (["--health", "ready", "--", "serve"], "--health is 'ready', not a path"),
        (["--idle", "60", "--", "serve"], "not a duration"),
        (["--slots", "0", "--", "serve"], "0 is not in the range"),
        (["--token-file", "nothing", "--", "serve"], "--token-file nothing: No such file"),
        (
            ["--listen", "0.0.0.0:9001", "--", "serve"],
            "swayam: --listen 0.0.0.0: others could set up and stop the model server\n  add --token-file",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    run: Run, started: list[SidecarSettings], words: list[str], message: str
) -> None:
    """Status 2, what is wrong, and what would be right; nothing is started."""
    result = run("sidecar", *words)
    assert result.exit_code == Exit.USAGE
    assert message in result.stderr
    assert started == []


@pytest.mark.parametrize("token", ["", "  ", "two words", "ü"])
def test_token_of_the_environment_must_be_one(
    run: Run, started: list[SidecarSettings], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """An empty or strange token is refused, not taken for none."""
    monkeypatch.setenv("SWAYAM_SIDECAR_TOKEN", token)
    result = run("sidecar", "--", "serve", "{port}")
    assert result.exit_code == Exit.USAGE
    assert "SWAYAM_SIDECAR_TOKEN is not a token" in result.stderr
    monkeypatch.setenv("SWAYAM_SIDECAR_TOKEN", "s3cret")
    assert run("sidecar", "--", "serve", "{port}").exit_code == Exit.OK
    assert [settings.token for settings in started] == ["s3cret"]
