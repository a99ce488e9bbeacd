"""Writes anew the heads of requests: the one reading of a head becomes the one that is sent.

A head costs some microseconds to read, check, route and write; a client that keeps its connection often sends
the same bytes again and again. So the result is kept by those bytes, in a bounded table: it is a pure
function of them, of the settings and of the routes, all of which live as long as the table.
"""

from collections.abc import Callable

from swayam_proxy.core.routing import RouteMatch
from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.headers import (
    CLAIMS,
    HOP_BY_HOP,
    VIA_LINE,
    connection_tokens,
)
from swayam_proxy.live.problem import Problem, unknown_route
from swayam_proxy.live.request_head import RequestHead, read_request_head
from swayam_proxy.live.settings import Limits

_REMEMBERED_COUNT_MAX = 512
_REMEMBERED_BYTES_MAX = 2048
"""At most about 2 MB per table. A full table is emptied: what is still in use comes back at once."""


class RequestPlan:
    """What will be done with a request: where it goes, and the bytes that go there."""

    __slots__ = (
        "answer_tail",
        "chunked",
        "content_length",
        "expects_continue",
        "idempotent",
        "is_head",
        "keep_alive",
        "method",
        "minor",
        "path",
        "problem",
        "request_id",
        "service",
        "shown_path",
        "trace_id",
        "upgrade",
        "upstream_head",
        "upstream_tail",
    )

    def __init__(self, head: RequestHead, service: ServiceSide | None, problem: Problem | None) -> None:
        """Keep of `head` what is needed once the bytes to send are made."""
        self.method = head.method
        self.minor = head.minor
        self.path = head.path
        self.shown_path = head.path + head.query
        self.idempotent = head.idempotent
        self.is_head = head.is_head
        self.keep_alive = head.keep_alive
        self.content_length = head.content_length
        self.chunked = head.chunked
        self.expects_continue = head.expects_continue
        self.upgrade = head.upgrade
        self.trace_id = head.trace_id
        self.service = service
        self.problem = problem
        """How to answer it at once, without any backend."""
        self.request_id = head.request_id.decode("ascii")
        """"" when one must be made."""
        self.answer_tail = b"X-Request-Id: %b\r\n\r\n" % head.request_id if head.request_id else b""
        self.upstream_tail = b"\r\n" if head.request_id else b""
        """The empty line, when the client's own X-Request-Id is in the head already."""
        self.upstream_head = b""
        """Everything up to the client's own address in X-Forwarded-For."""


class RequestPlanner:
    """Plans requests of clients that are all trusted or all not, all with TLS or all without."""

    __slots__ = ("_default_host", "_limits", "_proto", "_route", "_services", "_trusted", "known")

    def __init__(
        self,
        route: Callable[[str, str, list[tuple[bytes, bytes]]], RouteMatch | None],
        services: dict[str, ServiceSide],
        limits: Limits,
        *,
        trusted: bool,
        tls: bool,
        default_host: bytes,
    ) -> None:
        """Plan for `services`; `default_host` stands in for the Host that an HTTP/1.0 client did not send."""
        self._route = route
        self._services = services
        self._limits = limits
        self._trusted = trusted
        self._proto = b"https" if tls else b"http"
        self._default_host = default_host
        self.known: dict[bytes, RequestPlan] = {}

    def read(self, raw: bytes) -> RequestPlan:
        """Return the plan of a head that is not in `known`.

        Raises:
            Refused: the head is malformed or too large.
        """
        head = read_request_head(raw, self._limits)
        host = head.host.lower().decode("ascii")
        bare_host = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        match = self._route(bare_host, head.path, head.fields)
        if match is None:
            return RequestPlan(head, None, unknown_route(tuple(self._services)))
        service = self._services[match.service_name]
        plan = RequestPlan(head, service, _too_large(head, service))
        plan.upstream_head = self._upstream_head(head, service, match.strip)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            if len(self.known) >= _REMEMBERED_COUNT_MAX:
                self.known.clear()
            self.known[raw] = plan
        return plan

    def _upstream_head(self, head: RequestHead, service: ServiceSide, strip: str) -> bytes:
        path = head.path
        if strip:
            path = path[len(strip) :]
            path = path if path.startswith("/") else "/" + path
        lines = [f"{head.method} {path}{head.query} HTTP/1.1\r\n".encode("ascii")]
        lines.append(b"Host: %b\r\n" % (service.host_header or head.host or self._default_host))
        dropped = HOP_BY_HOP | connection_tokens(head.lower_fields) | {b"host", b"expect"}
        if not self._trusted:
            dropped |= CLAIMS
        if not head.request_id:
            dropped |= {b"x-request-id"}
        said: dict[bytes, list[bytes]] = {}
        for (name, value), (lower, _) in zip(head.fields, head.lower_fields, strict=True):
            if lower in _REWRITTEN:
                said.setdefault(lower, []).append(value)
            elif lower == b"content-length":
                # even where Connection names it: the length of the body is not the client's to take away
                lines.append(b"%b: %d\r\n" % (name, head.content_length))
            elif lower not in dropped:
                lines.append(b"%b: %b\r\n" % (name, value))
        if head.upgrade:
            lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
        lines.append(VIA_LINE)
        trusted_said = said if self._trusted else {}
        proto = trusted_said.get(b"x-forwarded-proto", [self._proto])[-1]
        host = trusted_said.get(b"x-forwarded-host", [head.host])[-1]
        lines.append(b"X-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n" % (proto, host))
        hops = [hop for hop in trusted_said.get(b"x-forwarded-for", []) if hop]
        lines.append(b"X-Forwarded-For: " + b"".join(hop + b", " for hop in hops))
        return b"".join(lines)


_REWRITTEN = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))


def _too_large(head: RequestHead, service: ServiceSide) -> Problem | None:
    if head.content_length > service.request_body_bytes_max:
        return Problem(413, "body_too_large", f"more than {service.request_body_bytes_max} bytes of body")
    return None
