"""swayam peers: who a running proxy knows."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from swayam_proxy.cli.root import swayam

ANSWER = {
    "frontends_count": 2,
    "frontends_estimate": 3,
    "gossips": True,
    "members": [
        {
            "name": "p1",
            "address": "127.0.0.1:7946",
            "state": "alive",
            "own": True,
            "age_s": 0.0,
            "forecast": {"digits": 41.5},
            "prefix": {"digits": 4},
        },
        {
            "name": "p2",
            "address": "127.0.0.1:7947",
            "state": "suspect",
            "own": False,
            "age_s": 1.25,
            "forecast": {},
            "prefix": {},
        },
    ],
    "other_configs": [["digits", "p2"]],
}


class Admin(BaseHTTPRequestHandler):
    """An admin address that answers what the server holds."""

    def do_GET(self) -> None:
        """Answer any path."""
        body = json.dumps(self.server.answer).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    """A stand-in for the admin address; its `answer` can be changed."""
    made = HTTPServer(("127.0.0.1", 0), Admin)
    made.answer = ANSWER  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def _run(server: HTTPServer, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(swayam, ["peers", "--admin", f"127.0.0.1:{server.server_port}", *words])
    return result.exit_code, result.output


def test_members_are_shown_with_what_they_expect(server: HTTPServer) -> None:
    """Count, names, states, age, forecast and prefix; and who runs another configuration."""
    status, text = _run(server)
    assert status == 0
    for words in (
        "2 frontends, 3 counted",
        "p1 (this one)",
        "digits 41.5 (4)",
        "suspect",
        "1.2s",
        "p2 runs another list",
    ):
        assert words in text, text


def test_json_is_the_answer_itself(server: HTTPServer) -> None:
    """Programs get frontends_estimate and members as they are."""
    status, text = _run(server, "--json")
    assert (status, json.loads(text)) == (0, ANSWER)


def test_a_proxy_without_gossip_says_so(server: HTTPServer) -> None:
    """Counting by the configuration is told apart from being alone."""
    server.answer = {**ANSWER, "gossips": False, "members": [], "other_configs": []}  # type: ignore[attr-defined]
    assert "does not gossip" in _run(server)[1]


def test_something_else_at_the_address_is_told(server: HTTPServer) -> None:
    """Not a proxy of ours: exit status 1, two lines, no traceback."""
    server.answer = {"hello": "world"}  # type: ignore[attr-defined]
    status, text = _run(server)
    assert status == 1
    assert "something else" in text


def test_nobody_there_is_exit_status_4() -> None:
    """As with every command that asks a proxy."""
    result = CliRunner().invoke(swayam, ["peers", "--admin", "127.0.0.1:1"])
    assert result.exit_code == 4
