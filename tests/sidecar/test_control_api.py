"""Who may use the control API, and what its requests do."""

from typing import Any

import orjson
import pytest

from swayam_proxy.sidecar.control_api import LINK_PATH, Reply, answer, incarnation_of, refusal_of
from swayam_proxy.sidecar.request import ControlRequest, grant_of


class Controlled:
    """A sidecar that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int | None]] = []
        self.has_room = True

    def ask_setup(self, incarnation: int | None) -> bool:
        """Remember."""
        self.asked.append(("setup", incarnation))
        return self.has_room

    def ask_retire(self, incarnation: int | None) -> bool:
        """Remember; set-up 3 is the present one."""
        self.asked.append(("retire", incarnation))
        return incarnation == 3

    def state(self) -> dict[str, Any]:
        """Return something."""
        return {"state": "WARM"}


def request(method: str, path: str, authorization: bytes = b"", upgrade: bytes = b"") -> ControlRequest:
    """Return a request for the sidecar."""
    return ControlRequest(method, path, upgrade, authorization, b"f")


def content_of(reply: Reply) -> tuple[int, dict[str, Any]]:
    """Return status and JSON as sent."""
    raw = reply.render("", "", close=False)
    head, _, body = raw.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    return int(head[9:12]), orjson.loads(body)


@pytest.mark.parametrize(
    ("authorization", "peer", "token", "allowed"),
    [
        (b"", "127.0.0.1", None, True),
        (b"", "::1", None, True),
        (b"", "10.0.0.1", None, False),
        (b"", "unknown", None, False),
        (b"Bearer s3cret", "10.0.0.1", "s3cret", True),
        (b"bearer  s3cret", "10.0.0.1", "s3cret", True),
        (b"Bearer s3cre", "10.0.0.1", "s3cret", False),
        (b"Bearer s3cret2", "127.0.0.1", "s3cret", False),
        (b"Basic s3cret", "10.0.0.1", "s3cret", False),
        (b"", "127.0.0.1", "s3cret", False),
    ],
)
def test_token(authorization: bytes, peer: str, token: str | None, allowed: bool) -> None:
    """With a token everybody needs it; without one only this machine may."""
    refused = refusal_of(request("GET", "/swayam/state", authorization), peer, token)
    assert (refused is None) is allowed
    assert refused is None or content_of(refused)[0] == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/swayam/", 404),
        ("GET", "/swayam/setup", 405),
        ("POST", "/swayam/state", 405),
        ("POST", LINK_PATH, 405),
        ("GET", LINK_PATH, 426),
    ],
)
def test_wrong_requests(method: str, path: str, status: int) -> None:
    """What is not there, or is asked in the wrong way, is answered with what would be right."""
    refused = refusal_of(request(method, path), "127.0.0.1", None)
    assert refused is not None
    got, content = content_of(refused)
    assert got == status
    assert content["error"]


def test_upgrade_is_let_through() -> None:
    """The one right way to the control connection, in any case of letters."""
    good = request("GET", LINK_PATH, upgrade=b"Swayam-Control/1")
    assert refusal_of(good, "127.0.0.1", None) is None


@pytest.mark.parametrize(
    ("path", "body", "status", "asked"),
    [
        ("/swayam/setup", b"", 202, [("setup", None)]),
        ("/swayam/setup", b'{"incarnation": 4}', 202, [("setup", 4)]),
        ("/swayam/setup", b'{"incarnation": "4"}', 400, []),
        ("/swayam/setup", b'{"incarnation": true}', 400, []),
        ("/swayam/setup", b"[]", 400, []),
        ("/swayam/setup", b"{", 400, []),
        ("/swayam/retire", b'{"incarnation": 3}', 200, [("retire", 3)]),
        ("/swayam/retire", b'{"incarnation": 2}', 409, [("retire", 2)]),
        ("/swayam/retire", b"", 400, []),
    ],
)
def test_orders(path: str, body: bytes, status: int, asked: list[tuple[str, int | None]]) -> None:
    """Good orders are carried out once; a bad body orders nothing."""
    controlled = Controlled()
    got, content = content_of(answer(request("POST", path), body, controlled))
    assert got == status
    assert controlled.asked == asked
    assert content["error"] if status == 400 else content["state"] == "WARM"
    if path == "/swayam/retire" and status != 400:
        assert content["retired"] is (status == 200)


def test_incarnation_is_bounded() -> None:
    """A number beyond every count is refused."""
    assert incarnation_of(b'{"incarnation": 1000000}') == 1000000
    with pytest.raises(ValueError, match="count"):
        incarnation_of(b'{"incarnation": 9999999999999999999}')


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"f-1/7", ("f-1", 7)),
        (b"f/0", None),
        (b"f/07", None),
        (b"/7", None),
        (b"f f/7", None),
        (b"f/7 ", None),
        (b"a" * 65 + b"/7", None),
        (b"", None),
    ],
)
def test_grant(value: bytes, key: tuple[str, int] | None) -> None:
    """A grant is a frontend's name and the number of its hold, or nothing."""
    assert grant_of(value) == key


def test_a_full_machine_refuses_a_set_up() -> None:
    """There is no room: 409, with the reason and the state."""
    controlled = Controlled()
    controlled.has_room = False
    status, content = content_of(answer(request("POST", "/swayam/setup"), b"", controlled))
    assert (status, content["error"]) == (409, "the machine is full")
    assert content["state"] == "WARM"
