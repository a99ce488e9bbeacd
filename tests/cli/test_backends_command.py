"""Backends asked, set up and let go by hand, over real control requests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from swayam_proxy.cli.failure import Exit
from tests.cli.conftest import PATIENCE_S, ROOT, Run

CONFIG = """
[services.translate]
backends = {addresses}
sla = {{ response_time = "1s", level = 0.99 }}
sidecar = {{ token = "s3cret" }}
"""


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[list[str]]:
    """Two cold backends that speak the sidecar protocol, and ask for a token."""
    ready, token = tmp_path / "ready", tmp_path / "token"
    token.write_text("s3cret")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "fake_backend", "--sidecar", "--port", "0", "--count", "2",
            "--setup", "100ms", "--token-file", str(token), "--ready-file", str(ready),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (ready.exists() and ready.read_text().count("\n") == 2):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        yield ready.read_text().split()
    finally:
        process.kill()
        process.wait()


def test_backends_are_asked_set_up_and_let_go(run: Run, addresses: list[str]) -> None:
    """Cold ones are told; ensuring one warms the first and only it; retiring lets it go."""
    Path("swayam.toml").write_text(CONFIG.format(addresses=json.dumps(addresses)))

    def told(*words: str) -> tuple[int, list[tuple[str, int]]]:
        result = run("backends", "translate", "--json", *words)
        places = json.loads(result.stdout)["backends"]
        assert [place["address"] for place in places] == addresses
        return result.exit_code, [(place["state"], place["incarnation"]) for place in places]

    assert told() == (Exit.OK, [("cold", 0), ("cold", 0)])
    assert told("--ensure", "1", "--wait", "20s") == (Exit.OK, [("warm", 1), ("cold", 0)])
    assert told("--ensure", "1", "--wait", "20s") == (Exit.OK, [("warm", 1), ("cold", 0)])
    status, (first, _) = told("--retire", "1")
    assert status == Exit.OK and first[0] in ("draining", "cold")
    assert run("backends", "translate").stdout.splitlines()[1].split() == [
        "2",
        addresses[1],
        "cold",
        "set-up",
        "0",
    ]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["translat"], Exit.USAGE, "there is no service translat\n  did you mean translate?"),
        (
            ["translate", "--ensure", "3"],
            Exit.USAGE,
            "service translate has 2 backends\n  write at most that",
        ),
        (["translate", "--retire", "0"], Exit.USAGE, "0 is not in the range"),
        (["translate"], Exit.UNREACHABLE, "no backend answers\n  do their sidecars or machines run?"),
    ],
)
def test_what_cannot_be_asked(run: Run, words: list[str], status: int, message: str) -> None:
    """What is wrong, and what would be right."""
    Path("swayam.toml").write_text(CONFIG.format(addresses='["127.0.0.1:9", "127.0.0.2:9"]'))
    result = run("backends", *words)
    assert result.exit_code == status
    assert message in result.stderr


def test_backends_without_sidecars_cannot_be_asked(run: Run) -> None:
    """Plain servers say nothing of themselves."""
    text = CONFIG.format(addresses='["127.0.0.1:9"]').replace('sidecar = { token = "s3cret" }', "")
    Path("swayam.toml").write_text(text)
    result = run("backends", "translate")
    assert result.exit_code == Exit.USAGE
    assert "the backends of translate have no sidecars" in result.stderr
