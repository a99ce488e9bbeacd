"""Writes anew the heads of requests: the one reading of a head becomes the one that is sent.

A head costs some ten microseconds to read, check, route and write; a client that keeps its connection often
sends the same bytes again and again, or the same but for an id. So the result is kept by those bytes, or by
what they have in common with others (`head_shape`), in bounded tables: it is a pure function of them, of the
settings and of the routes, all of which live as long as the tables.
"""

from collections.abc import Callable, Iterable

from swayam_proxy.core.routing import RouteMatch
from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.field_lines import FieldLines, FieldPairs
from swayam_proxy.live.head_shape import HeadShape, ShapeTable, Template, shape_of, template_of
from swayam_proxy.live.headers import CLAIMS, HOP_BY_HOP, VIA_LINE, trace_id_of
from swayam_proxy.live.problem import Problem, unknown_route
from swayam_proxy.live.request_head import RequestHead, RequestHeadReader
from swayam_proxy.live.settings import Limits

_REMEMBERED_COUNT_MAX = 512
_REMEMBERED_BYTES_MAX = 2048
_REMEMBERED_PATH_MAX = 256
"""At most about 2 MB per table. A full table is emptied: what is still in use comes back at once."""


class RequestPlan:
    """What will be done with a request: where it goes, and the bytes that go there."""

    __slots__ = (
        "answer_tail",
        "body_bytes",
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
        "raw",
        "raw_bytes",
        "request_id",
        "service",
        "shape",
        "shown_path",
        "trace_id",
        "upgrade",
        "upstream_head",
        "upstream_tail",
    )

    def __init__(self, head: RequestHead, service: ServiceSide | None, problem: Problem | None) -> None:
        """Keep of `head` what is needed once the bytes to send are made."""
        line = head.line
        self.method = line.method
        self.minor = line.minor
        self.path = line.path
        self.shown_path = line.path + line.query
        self.idempotent = line.idempotent
        self.is_head = line.is_head
        self.keep_alive = head.keep_alive
        self.content_length = head.content_length
        self.chunked = head.chunked
        self.body_bytes = -1 if head.chunked else head.content_length
        """How much must follow the head for the request to be whole, if that can be known."""
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
        self.raw = b""
        """The head itself, where it is likely to come again."""
        self.raw_bytes = 0
        """Of the head, where it was found without a search."""
        self.shape: RequestShape | None = None
        """What is likely to come again, where the head itself is not."""

    def renewed(self, shape: "RequestShape", values: list[bytes], raw_bytes: int) -> "RequestPlan | None":
        """Return the plan of a head that differs in these values only; None when they change more."""
        plan = object.__new__(type(self))
        plan.method = self.method
        plan.minor = self.minor
        plan.path = self.path
        plan.shown_path = self.shown_path
        plan.idempotent = self.idempotent
        plan.is_head = self.is_head
        plan.keep_alive = self.keep_alive
        plan.chunked = self.chunked
        plan.expects_continue = self.expects_continue
        plan.upgrade = self.upgrade
        plan.service = service = self.service
        plan.problem = None
        plan.raw = b""
        plan.raw_bytes = raw_bytes
        plan.shape = shape
        plan.upstream_head = shape.template.fill(values)
        plan.upstream_tail = self.upstream_tail
        if shape.id_index < 0:
            plan.request_id = ""
            plan.answer_tail = b""
        else:
            request_id = values[shape.id_index]
            plan.request_id = request_id.decode("ascii")
            plan.answer_tail = b"X-Request-Id: %b\r\n\r\n" % request_id
        plan.trace_id = self.trace_id if shape.trace_index < 0 else trace_id_of(values[shape.trace_index])
        if shape.length_index < 0:
            plan.content_length = self.content_length
            plan.body_bytes = self.body_bytes
        else:
            text = values[shape.length_index]
            plan.content_length = plan.body_bytes = length = int(text)
            assert service is not None, "a shape is kept only of what leads to a service"
            if text.startswith(b"0") or length > service.request_body_bytes_max:
                return None
        return plan


class RequestShape:
    """What the heads of many requests have in common, and how to plan one of them."""

    __slots__ = ("_plan", "_shape", "id_index", "length_index", "template", "trace_index")

    def __init__(self, shape: HeadShape, template: Template, plan: RequestPlan) -> None:
        """Plan heads of `shape` as `plan` does it for the first of them."""
        self._shape = shape
        self._plan = plan
        self.template = template
        self.id_index = shape.index_of(b"x-request-id")
        self.trace_index = shape.index_of(b"traceparent")
        self.length_index = shape.index_of(b"content-length")

    def index_of(self, name: bytes) -> int:
        """Return the position of a field among the new values, or -1."""
        return self._shape.index_of(name)

    def plan_of(self, data: bytes) -> RequestPlan | None:
        """Return the plan of the head at the beginning of `data`; None when it must be read the long way."""
        found = self._shape.values_in(data)
        return None if found is None else self._plan.renewed(self, *found)


class RequestPlanner:
    """Plans requests of clients that are all trusted or all not, all with TLS or all without."""

    plan_class: type[RequestPlan] = RequestPlan

    __slots__ = (
        "_default_host",
        "_dropped",
        "_dropped_with_id",
        "_head_bytes_max",
        "_heads",
        "_proto",
        "_route",
        "_routes",
        "_services",
        "_shapes",
        "_trusted",
        "known",
    )

    def __init__(
        self,
        route: Callable[[str, str, Iterable[tuple[bytes, bytes]]], RouteMatch | None],
        services: dict[str, ServiceSide],
        limits: Limits,
        *,
        trusted: bool,
        tls: bool,
        default_host: bytes,
    ) -> None:
        """Plan for `services`; `default_host` stands in for the Host that an HTTP/1.0 client did not send."""
        self._route = route
        self._routes: dict[tuple[bytes, str], RouteMatch | None] = {}
        """Where host and path lead, unless it takes a look at the fields to say so."""
        self._services = services
        self._heads = RequestHeadReader(limits)
        self._head_bytes_max = limits.request_head_bytes_max
        self._trusted = trusted
        self._dropped = HOP_BY_HOP | _REWRITTEN | (frozenset() if trusted else CLAIMS)
        self._dropped_with_id = self._dropped | {b"x-request-id"}
        self._proto = b"https" if tls else b"http"
        self._default_host = default_host
        self.known: dict[bytes, RequestPlan] = {}
        self._shapes: ShapeTable[RequestPlan] = ShapeTable()

    def read(self, raw: bytes) -> RequestPlan:
        """Return the plan of a head that is not in `known`.

        Raises:
            Refused: the head is malformed or too large.
        """
        if (renewed := self._shapes.plan_of(raw)) is not None:
            return renewed
        head = self._heads.read(raw)
        match = self._match(head)
        if match is None:
            return self.plan_class(head, None, unknown_route(tuple(self._services)))
        service = self._services[match.service_name]
        plan = self.plan_class(head, service, _too_large(head, service))
        plan.upstream_head = self._upstream_head(head, service, match.strip)
        if len(raw) <= _REMEMBERED_BYTES_MAX and FieldLines.come_again(head.said):
            if len(self.known) >= _REMEMBERED_COUNT_MAX:
                self.known.clear()
            plan.raw, plan.raw_bytes = raw, len(raw)
            self.known[raw] = plan
        elif plan.problem is None and self._shapes.wants(raw):
            self._keep_shape(raw, head, plan)
        return plan

    def _keep_shape(self, raw: bytes, head: RequestHead, plan: RequestPlan) -> None:
        """Keep what may come again of a head that will not, unless it asks for something special."""
        if b"expect" in head.said or not _HARMLESS.issuperset(head.named):
            return
        shape = shape_of(raw, head.lines, self._head_bytes_max)
        template = template_of(plan.upstream_head, head.lines)
        if shape is None or template is None:
            return
        if shape.index_of(b"x-request-id") >= 0 and not head.request_id:
            return
        plan.shape = RequestShape(shape, template, plan)
        self._shapes.keep(raw, plan.shape)

    def _match(self, head: RequestHead) -> RouteMatch | None:
        key = (head.host, head.line.path)
        if key in self._routes:
            return self._routes[key]
        pairs = FieldPairs(head.lines)
        match = self._route(_bare_host(head.host), head.line.path, pairs)
        if not pairs.were_read and len(head.line.path) <= _REMEMBERED_PATH_MAX:
            if len(self._routes) >= _REMEMBERED_COUNT_MAX:
                self._routes.clear()
            self._routes[key] = match
        return match

    def _upstream_head(self, head: RequestHead, service: ServiceSide, strip: str) -> bytes:
        path = head.line.path
        if strip:
            path = path[len(strip) :]
            path = path if path.startswith("/") else "/" + path
        lines = [
            f"{head.line.method} {path}{head.line.query} HTTP/1.1\r\n".encode("ascii"),
            b"Host: %b\r\n" % (service.host_header or head.host or self._default_host),
        ]
        dropped = self._dropped if head.request_id else self._dropped_with_id
        if head.named:
            # even so, the length of the body is not the client's to take away
            dropped = (dropped | frozenset(head.named)) - {b"content-length"}
            lines += [line.written for line in head.lines if line.lower not in dropped]
        else:
            lines += [line.written for line in head.lines if not line.is_special or line.lower not in dropped]
        if head.upgrade:
            lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
        lines.append(service.own_lines)
        lines.append(self._claims(head))
        return b"".join(lines)

    def _claims(self, head: RequestHead) -> bytes:
        """Return what the backend is told of the client: as a trusted peer says, else as we see it."""
        proto, host, hops = self._proto, head.host, b""
        if self._trusted:
            said = head.said
            proto = said.get(b"x-forwarded-proto", (proto,))[-1]
            host = said.get(b"x-forwarded-host", (host,))[-1]
            hops = b"".join(hop + b", " for hop in said.get(b"x-forwarded-for", ()) if hop)
        return b"%bX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-For: %b" % (
            VIA_LINE,
            proto,
            host,
            hops,
        )


_HARMLESS = frozenset((b"keep-alive", b"close"))
"""What Connection may say for a head to have a shape."""
_REWRITTEN = frozenset((b"expect", b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))


def _bare_host(host: bytes) -> str:
    text = host.lower().decode("ascii")
    return text[: text.rfind("]") + 1] if text.startswith("[") else text.partition(":")[0]


def _too_large(head: RequestHead, service: ServiceSide) -> Problem | None:
    if head.content_length > service.request_body_bytes_max:
        return Problem(413, "body_too_large", f"more than {service.request_body_bytes_max} bytes of body")
    return None
