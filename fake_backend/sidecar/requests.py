"""The requests below `/swayam/`: set-up, retire, state, and the upgrade to a control connection.

Knows HTTP as aiohttp hands it over, tokens and JSON; what a request leads to is the sidecar's business.
"""

import hmac
import json
from typing import Any

from aiohttp import web

from fake_backend.reading import TooLargeError, read_body
from fake_backend.settings import ServerState
from fake_backend.sidecar.sidecar import FRONTEND, Sidecar

_BODY_BYTES_MAX = 64 * 1024
_PROTOCOL = "swayam-control/1"
_UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + _PROTOCOL.encode() + b"\r\n\r\n"
)
_METHODS = {
    "/swayam/control": "GET",
    "/swayam/setup": "POST",
    "/swayam/retire": "POST",
    "/swayam/state": "GET",
}


class _BadBodyError(ValueError):
    """A body that is not what the path wants; the text says what would be."""


def busy_response(sidecar: Sidecar) -> web.Response:
    """Return the answer to a request that cannot run now, on which the frontend sends it elsewhere."""
    fields = {"Swayam-Busy": "1"}
    if sidecar.state is not ServerState.WARM:
        fields["Swayam-State"] = sidecar.state.name
    return web.Response(status=503, headers=fields)


async def answer(sidecar: Sidecar, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """Answer a request below `/swayam/`."""
    method = _METHODS.get(path)
    if method is None:
        return _json(404, {"error": f"unknown path {path}; known are {', '.join(_METHODS)}"})
    if request.method != method:
        return _json(405, {"error": f"{path} wants {method}"}, {"Allow": method})
    if not _has_token(sidecar.settings.token, request):
        fields = {"WWW-Authenticate": "Bearer"}
        return _json(401, {"error": "send Authorization: Bearer TOKEN with this backend's token"}, fields)
    if path == "/swayam/control":
        return await _control(sidecar, request)
    try:
        incarnation = await _incarnation(request) if method == "POST" else None
    except (_BadBodyError, TooLargeError) as error:
        return _json(400, {"error": str(error)})
    if path == "/swayam/state":
        return _json(200, sidecar.snapshot())
    if path == "/swayam/setup":
        sidecar.set_up(incarnation)
        return _json(202, sidecar.snapshot())
    if incarnation is None:
        return _json(400, {"error": 'write the incarnation that is to go: {"incarnation": 3}'})
    is_retired = sidecar.retire(incarnation)
    return _json(200 if is_retired else 409, {"retired": is_retired, **sidecar.snapshot()})


async def _control(sidecar: Sidecar, request: web.BaseRequest) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() != _PROTOCOL:
        fields = {"Upgrade": _PROTOCOL, "Connection": "Upgrade"}
        return _json(426, {"error": f"this path wants Upgrade: {_PROTOCOL}"}, fields)
    frontend = request.headers.get("Swayam-Frontend", "")
    if not FRONTEND.fullmatch(frontend):
        return _json(400, {"error": "Swayam-Frontend wants 1 to 64 characters of A-Za-z0-9._-"})
    transport = request.transport
    if transport is not None:
        await sidecar.connect(frontend, transport, _UPGRADED).ended
    return web.Response()  # to nobody: the connection has ended


def _has_token(token: str, request: web.BaseRequest) -> bool:
    if not token:
        return True
    told = request.headers.get("Authorization", "")
    return hmac.compare_digest(told.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode())


async def _incarnation(request: web.BaseRequest) -> int | None:
    body = await read_body(request, _BODY_BYTES_MAX)
    if not body:
        return None
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _BadBodyError(f"the body is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise _BadBodyError("the body is no JSON object")
    incarnation = content.get("incarnation")
    if incarnation is None:
        return None
    if isinstance(incarnation, bool) or not isinstance(incarnation, int) or incarnation < 0:
        raise _BadBodyError("incarnation wants a whole number, 0 or more")
    return incarnation


def _json(status: int, content: dict[str, Any], fields: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(content).encode()
    headers = {"Content-Type": "application/json", **(fields or {})}
    return web.Response(status=status, body=body, headers=headers)
