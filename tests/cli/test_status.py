"""status: against a real proxy, and against what is none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import admin_addresses_of
from swayam_proxy.cli.status import BAR_MAX, backends_bar
from tests.cli.conftest import CONFIG, Run, running


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The admin address of a running proxy."""
    directory = tmp_path_factory.mktemp("proxy")
    (directory / "swayam.toml").write_text(CONFIG)
    with running("serve", directory=directory) as (_, events):
        yield events[0]["admin"]


def test_one_proxy_as_json(run: Run, admin: str) -> None:
    """The keys that programs rely on: F, and per service by name its rates, prefix, promise and backends."""
    state = json.loads(run("status", "--admin", admin, "--json").stdout)
    assert state["frontends_estimate"] == 1
    service = state["services"]["digits"]
    assert {"rate_per_s", "forecast_per_s", "prefix", "share_within"} <= set(service)
    assert service["rate_per_s"] == 0.0
    assert service["share_within"] is None
    assert 1 <= service["prefix"] <= 3
    assert [(each["index"], each["address"]) for each in service["backends"]] == [
        (1, "127.0.0.1:9"),
        (2, "localhost:9"),
        (3, "127.0.0.2:9"),
    ]
    assert all(
        each["state"] in {"cold", "warming", "warm", "draining", "lost"} for each in service["backends"]
    )


def test_several_proxies_as_json(run: Run, admin: str) -> None:
    """Several are a list, in the order asked."""
    states = json.loads(run("status", "--admin", admin, "--admin", admin, "--json").stdout)
    assert [list(state["services"]) for state in states["frontends"]] == [["digits"], ["digits"]]


def test_the_table_fits_a_terminal(run: Run, admin: str) -> None:
    """80 columns hold the row of a service; without a terminal nothing is coloured."""
    result = run("status", "--admin", admin)
    assert result.exit_code == Exit.OK
    lines = result.stdout.splitlines()
    assert admin in lines[0]
    assert "\x1b" not in result.stdout
    (row,) = [line for line in lines if line.strip().startswith("digits") and " of 3" in line]
    assert len(row) <= 80
    for cell in ("digits", "0.0", "-", "99% 500ms"):
        assert cell in row
    assert any(line.split()[:1] == ["digits"] and set(line.split()[1]) <= set("#+.~!-") for line in lines[5:])


def test_the_file_leads_to_the_admin_address(run: Run, admin: str, tmp_path: Path) -> None:
    """Without --admin, the configured address is asked."""
    (tmp_path / "swayam.toml").write_text(CONFIG)
    port = admin.rpartition(":")[2]
    result = run("status", "--json", "--set", f"admin.port={port}")
    assert json.loads(result.stdout)["services"].keys() == {"digits"}


def test_launched_proxies_are_counted_up(tmp_path: Path) -> None:
    """-n N asks the configured port and those above it; a wildcard address is asked on loopback."""
    (tmp_path / "swayam.toml").write_text(CONFIG)
    sets = ("admin.port=9000", 'admin.host="0.0.0.0"', "admin.allow_remote=true")
    assert admin_addresses_of(tmp_path / "swayam.toml", sets, (), 3) == [
        ("127.0.0.1", 9000),
        ("127.0.0.1", 9001),
        ("127.0.0.1", 9002),
    ]
    with pytest.raises(CommandFailed, match=r"admin\.port is 0"):
        admin_addresses_of(tmp_path / "swayam.toml", (), ())


def test_nobody_there(run: Run) -> None:
    """A proxy that does not answer is status 4, in two lines."""
    result = run("status", "--admin", "127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (Exit.UNREACHABLE, "")
    assert result.stderr == (
        "swayam: no proxy answers at 127.0.0.1:1: connection refused\n"
        "  is it running? Name its admin address with --admin HOST:PORT, or its file with --config\n"
    )


@pytest.mark.parametrize("address", ["localhost", "a:b", ":1", "1.2.3:80"])
def test_what_is_no_address(run: Run, address: str) -> None:
    """An admin address that cannot be one is wrong usage."""
    result = run("status", "--admin", address)
    assert result.exit_code == Exit.USAGE
    assert result.stderr.endswith('  write it as "HOST:PORT"\n')


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Some other HTTP server, which answers everything alike."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (404, b"", "answered 404 to GET /state"),
        (200, b"<html>", "did not answer JSON"),
        (200, b"[]", "answered something else than a proxy's state"),
        (200, b'{"services": {"a": {}}}', "answered something else than a proxy's state"),
        (200, b'{"services": []}', "answered something else than a proxy's state"),
    ],
)
def test_what_is_no_proxy(run: Run, status: int, body: bytes, part: str) -> None:
    """Another server's answer is told as such, without a traceback."""
    with answering(status, body) as address:
        result = run("status", "--admin", address)
    assert result.exit_code == Exit.FAILED
    assert part in result.stderr
    assert result.stderr.count("\n") == 2


def test_the_bar_shows_each_backend() -> None:
    """One sign per backend: health before use, use before state; long lists are cut and counted."""

    def backend(
        state: str, *, in_use: bool = False, healthy: bool = True, ejected: bool = False
    ) -> dict[str, object]:
        return {"state": state, "in_use": in_use, "healthy": healthy, "ejected": ejected}

    backends = [
        backend("warm", in_use=True),
        backend("warm", in_use=True, ejected=True),
        backend("warming", in_use=True),
        backend("warm"),
        backend("cold"),
        backend("lost"),
        backend("warm", healthy=False),
        backend("draining"),
        backend("unheard-of"),
    ]
    assert backends_bar(backends) == "#!~+.!!-?"
    assert backends_bar([backend("cold")] * (BAR_MAX + 5)) == "." * BAR_MAX + " and 5 more"
