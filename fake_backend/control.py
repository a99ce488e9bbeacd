"""Paths beside the model's work: health in four dialects, and `/fake/...` for tests.

Knows a backend's state; executes nothing and takes no slot.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fake_backend.answers import Answer
from fake_backend.settings import ServerState

if TYPE_CHECKING:
    from fake_backend.backend import Backend

_READY_PATHS = frozenset({"/v2/health/ready", "/ping", "/health", "/healthz", "/readyz"})
_LIVE_PATHS = frozenset({"/v2/health/live", "/livez"})


def answer(backend: "Backend", method: str, path: str, query: Mapping[str, str]) -> Answer | None:
    """Return the answer of a control path, or None when the path is the model's business."""
    if path.startswith("/fake/"):
        return _fake(backend, method, path, query)
    if path in _LIVE_PATHS:
        return _json({"live": True})
    if path in _READY_PATHS or (path.startswith("/v2/models/") and path.endswith("/ready")):
        return _ready(backend)
    if method != "GET":
        return None
    if path == "/v2":
        return _json({"name": "fake_backend", "version": "1", "extensions": []})
    if path == "/v1/models":
        return _json(
            {"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "fake_backend"}]}
        )
    name = path.rpartition("/")[2]
    if path == f"/v2/models/{name}":
        return _json({"name": name, "versions": ["1"], "platform": "fake", "inputs": [], "outputs": []})
    if path == f"/v1/models/{name}":
        state = "AVAILABLE" if backend.lifecycle.state is ServerState.WARM else "LOADING"
        return _json({"model_version_status": [{"version": "1", "state": state}]})
    return None


def _ready(backend: "Backend") -> Answer:
    if backend.lifecycle.state is not ServerState.WARM:
        return _json({"ready": False, "state": backend.lifecycle.state}, 503)
    return _json({"ready": backend.health_status < 400}, backend.health_status)


def _fake(backend: "Backend", method: str, path: str, query: Mapping[str, str]) -> Answer:
    if path == "/fake/stats":
        return _json(backend.snapshot())
    if method != "POST":
        return _json({"error": f"{path} wants POST, or does not exist"}, 405)
    if path == "/fake/setup":
        backend.lifecycle.set_up()
    elif path == "/fake/cold":
        backend.lifecycle.go_cold()
    elif path == "/fake/die":
        if not backend.die(is_started_again=query.get("again", "yes") != "no"):
            return _json({"error": f"the model is {backend.lifecycle.state}: there is nothing to die"}, 409)
    elif path == "/fake/fail-setups":
        count = query.get("count", "")
        if not (count.isdecimal() and len(count) <= 6):
            return _json({"error": "write ?count=2: that many of the next set-ups fail"}, 400)
        backend.lifecycle.setups_to_fail_count = int(count)
    elif path == "/fake/health":
        status = query.get("status", "")
        if not (status.isdecimal() and 200 <= int(status) <= 599):
            return _json({"error": "write ?status=503 or another status from 200 to 599"}, 400)
        backend.health_status = int(status)
    else:
        return _json({"error": f"unknown control path {path}"}, 404)
    return _json(backend.snapshot())


def _json(content: dict[str, Any], status: int = 200) -> Answer:
    return Answer(json.dumps(content).encode(), status=status)
