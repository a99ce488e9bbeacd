"""The JSON requests of section 3 of docs/sidecar-protocol.md, and who may make them.

Knows words, not sockets: from a request to a status and a JSON object.
"""

import re
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, Protocol

import orjson

from swayam_proxy.live.problem import Problem
from swayam_proxy.sidecar.request import CONTROL_PATHS, ControlRequest

LINK_PATH = CONTROL_PATHS + "control"
STATE_PATH = CONTROL_PATHS + "state"
LINK_PROTOCOL = b"swayam-control/1"
BODY_BYTES_MAX = 4096
_METHODS = {LINK_PATH: "GET", STATE_PATH: "GET", "/swayam/setup": "POST", "/swayam/retire": "POST"}
_BEARER = re.compile(rb"Bearer +([\x21-\x7e]+)", re.IGNORECASE)
_PHRASES = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    426: "Upgrade Required",
    503: "Service Unavailable",
}
_SAFE_COUNT_MAX = 10**18


class Controlled(Protocol):
    """What the requests act on."""

    def ask_setup(self, incarnation: int | None) -> bool:
        """Set up if cold; False when there is no room."""

    def ask_retire(self, incarnation: int | None) -> bool:
        """Begin to decommission the set-up of that number."""

    def state(self) -> dict[str, Any]:
        """Return what is the case."""


class Reply(Problem):
    """An answer in JSON."""

    __slots__ = ("_content", "_extra_lines")

    def __init__(self, status: int, content: dict[str, Any], extra_lines: str = "") -> None:
        """Answer with `content`; `extra_lines` are fields with their line ends."""
        super().__init__(status, str(content.get("error", "")))
        self._content = content
        self._extra_lines = extra_lines

    def render(self, path: str, request_id: str, *, close: bool, without_body: bool = False) -> bytes:
        """Return the whole response."""
        del path, request_id
        body = orjson.dumps(self._content)
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{self._extra_lines}"
            f"{'Connection: close' + chr(13) + chr(10) if close else ''}\r\n"
        ).encode("ascii")
        return head if without_body else head + body


def may_control(request: ControlRequest, peer: str, token: str | None) -> bool:
    """Say whether this peer may: by the token, or from this machine where none is asked for."""
    if token is None:
        try:
            return ip_address(peer).is_loopback
        except ValueError:
            return False
    match = _BEARER.fullmatch(request.authorization)
    return match is not None and compare_digest(match[1], token.encode("utf-8"))


def refusal_of(request: ControlRequest, peer: str, token: str | None) -> Reply | None:
    """Return the answer to a request that asks for nothing there is, or may not ask; None for a good one."""
    if not may_control(request, peer, token):
        return Reply(401, {"error": "token needed"}, "WWW-Authenticate: Bearer\r\n")
    method = _METHODS.get(request.path)
    if method is None:
        return Reply(404, {"error": "no such path", "paths": sorted(_METHODS)})
    if request.method != method:
        return Reply(405, {"error": f"only {method}"}, f"Allow: {method}\r\n")
    if request.path == LINK_PATH and request.upgrade.lower() != LINK_PROTOCOL:
        protocol = LINK_PROTOCOL.decode("ascii")
        return Reply(426, {"error": f"upgrade to {protocol}"}, f"Upgrade: {protocol}\r\n")
    return None


def answer(request: ControlRequest, body: bytes, controlled: Controlled) -> Reply:
    """Do what a good request asks, and answer it."""
    if request.path == STATE_PATH:
        return Reply(200, controlled.state())
    try:
        incarnation = incarnation_of(body)
    except ValueError as error:
        return Reply(400, {"error": str(error)})
    if request.path == "/swayam/setup":
        if not controlled.ask_setup(incarnation):
            return Reply(409, {"error": "the machine is full", **controlled.state()})
        return Reply(202, controlled.state())
    if incarnation is None:
        return Reply(400, {"error": 'write {"incarnation": N}: retiring must name what it retires'})
    retired = controlled.ask_retire(incarnation)
    return Reply(200 if retired else 409, {"retired": retired, **controlled.state()})


def incarnation_of(body: bytes) -> int | None:
    """Read `{"incarnation": N}`; None where it is left out.

    Raises:
        ValueError: it is something else.
    """
    if not body.strip():
        return None
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("the body is not JSON") from None
    number = content.get("incarnation") if isinstance(content, dict) else ...
    if number is None:
        return None
    if type(number) is not int or not 0 <= number <= _SAFE_COUNT_MAX:
        raise ValueError('write {"incarnation": N}, N being a count')
    return number
