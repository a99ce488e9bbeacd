"""The answers that the proxy makes itself, so that nobody takes them for a backend's.

RFC 9457 problem JSON with a `reason` code, in the shape of OpenAI's or of the V2 protocol on their paths; RFC
9209 Proxy-Status; `X-Swayam-Reason` on every one of them. Knows no connection.
"""

from email.utils import formatdate
from http import HTTPStatus
from math import ceil

import orjson

from swayam_proxy.live.headers import VIA_LINE

_OPENAI_PATHS = ("/v1/chat", "/v1/completions", "/v1/embeddings")
_V2_PATH = "/v2/"
_MEMBERS_MAX = 100
"""Services named by a 404; more of them help nobody."""

_PROXY_STATUS = {
    "backend_refused": "connection_refused",
    "backend_unreachable": "destination_unavailable",
    "backend_reset": "connection_terminated",
    "backend_malformed": "http_protocol_error",
    "backend_tls": "tls_protocol_error",
    "connect_timeout": "connection_timeout",
    "response_head_timeout": "http_response_timeout",
    "total_timeout": "http_response_timeout",
    "unknown_route": "destination_not_found",
    "no_backend": "destination_unavailable",
    "retry_budget": "destination_unavailable",
    "queue_full": "connection_limit_reached",
    "wait_too_long": "connection_limit_reached",
    "deadline": "connection_limit_reached",
    "draining": "destination_unavailable",
    "internal_error": "proxy_internal_error",
}
_DETAILS = {
    "queue_full": "the queue of this service is full",
    "wait_too_long": "a free backend would have come too late",
    "deadline": "the request could not have been answered before its deadline",
    "no_backend": "no backend of this service can be used now",
    "retry_budget": "too many backends failed for another attempt",
    "draining": "this proxy is shutting down",
}


class Refused(Exception):  # noqa: N818 - an answer to a client, and no fault of ours
    """A request that the proxy answers itself."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        """Keep what the client is told: `reason` is a code for programs, `detail` a sentence."""
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


class Problem:
    """One answer of our own, ready to be rendered."""

    __slots__ = ("detail", "extra", "reason", "retry_after_s", "status")

    def __init__(
        self, status: int, reason: str, detail: str = "", retry_after_s: float | None = None
    ) -> None:
        """Describe it; `retry_after_s` in seconds, rounded up when sent."""
        self.status = status
        self.reason = reason
        self.detail = detail or _DETAILS.get(reason, "")
        self.retry_after_s = retry_after_s
        self.extra: dict[str, object] = {}

    @classmethod
    def of(cls, refused: Refused) -> "Problem":
        """Make the answer to a refused request."""
        return cls(refused.status, refused.reason, refused.detail)

    def render(self, path: str, request_id: str, *, close: bool, without_body: bool = False) -> bytes:
        """Return the whole response; its body has the shape that programs on `path` expect."""
        phrase = _PHRASES.get(self.status, "Error")
        content_type, body = self._body(path, phrase, request_id)
        lines = [
            f"HTTP/1.1 {self.status} {phrase}\r\nDate: {formatdate(usegmt=True)}\r\n",
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n",
            f"X-Swayam-Reason: {self.reason}\r\nProxy-Status: swayam; error={self._proxy_status()}\r\n",
        ]
        if self.retry_after_s is not None:
            lines.append(f"Retry-After: {max(1, ceil(self.retry_after_s))}\r\n")
        if request_id:
            lines.append(f"X-Request-Id: {request_id}\r\n")
        if close:
            lines.append("Connection: close\r\n")
        head = "".join(lines).encode("latin-1") + VIA_LINE + b"\r\n"
        return head if without_body else head + body

    def _proxy_status(self) -> str:
        return _PROXY_STATUS.get(
            self.reason, "http_request_error" if self.status < 500 else "http_response_incomplete"
        )

    def _body(self, path: str, phrase: str, request_id: str) -> tuple[str, bytes]:
        message = self.detail or phrase
        if path.startswith(_OPENAI_PATHS):
            kind = "invalid_request_error" if self.status < 500 else "server_error"
            error = {"message": message, "type": kind, "param": None, "code": self.reason}
            return "application/json", orjson.dumps({"error": error})
        if path.startswith(_V2_PATH):
            return "application/json", orjson.dumps({"error": message})
        problem: dict[str, object] = {
            "type": "about:blank",
            "title": phrase,
            "status": self.status,
            "detail": message,
            "reason": self.reason,
        }
        if request_id:
            problem["request_id"] = request_id
        problem.update(self.extra)
        return "application/problem+json", orjson.dumps(problem)


def unknown_route(service_names: tuple[str, ...]) -> Problem:
    """Return the 404 of a request that no route takes; it names the services, and nothing else."""
    names = service_names[:_MEMBERS_MAX]
    problem = Problem(404, "unknown_route", "no service is routed here; known services: " + ", ".join(names))
    problem.extra["services"] = list(names)
    return problem


_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_PHRASES[413] = "Content Too Large"
_PHRASES[414] = "URI Too Long"
