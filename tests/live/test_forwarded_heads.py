"""What is written: heads of requests to backends and of answers to clients."""

import pytest

from swayam_proxy.core.routing import RouteMatch, Router
from swayam_proxy.core.vocabulary import RouteSpec, ServiceSpec, Sla
from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.request_plan import RequestPlan, RequestPlanner
from swayam_proxy.live.response_plan import ResponsePlan, ResponsePlanner
from swayam_proxy.live.settings import Limits, ServiceSettings


def no_pool(*_: object) -> None:
    """Stand in for what makes pools: nothing here connects."""
    raise AssertionError("no connection is made here")


def planner(
    *,
    trusted: bool = False,
    tls: bool = False,
    host_header: str | None = None,
    route: RouteSpec | None = None,
) -> RequestPlanner:
    """Return a planner for one service named m."""
    spec = ServiceSpec("m", (), Sla(1.0, 0.99), routes=(route or RouteSpec("/m"),))
    service = ServiceSide(ServiceSettings("m", host_header=host_header), 1.0, no_pool)  # type: ignore[arg-type]
    return RequestPlanner(
        Router([spec]).match, {"m": service}, Limits(), trusted=trusted, tls=tls, default_host=b"proxy:80"
    )


def plan_of(
    *lines: bytes, start: bytes = b"GET /m/a?b=c HTTP/1.1", host: bytes = b"Host: a.test", **how: object
) -> RequestPlan:
    """Plan a request of these lines."""
    raw = b"\r\n".join([start, *([host] if host else []), *lines, b"", b""])
    return planner(**how).read(raw)  # type: ignore[arg-type]


def sent(plan: RequestPlan) -> list[bytes]:
    """Return the lines of the head that goes to the backend, as far as it is the same for every client."""
    return plan.upstream_head.split(b"\r\n")


def test_end_to_end_fields_keep_order_case_and_value() -> None:
    """What is not ours to change goes on as it came, between the new Host and what we add."""
    lines = sent(plan_of(b"X-b: 1", b"Accept: */*", b"x-B: 2", b"Cookie: a=b; c=d"))
    assert lines == [
        b"GET /m/a?b=c HTTP/1.1",
        b"Host: a.test",
        b"X-b: 1",
        b"Accept: */*",
        b"x-B: 2",
        b"Cookie: a=b; c=d",
        b"Via: 1.1 swayam",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.test",
        b"X-Forwarded-For: ",
    ]


def test_hop_by_hop_fields_end_here() -> None:
    """The usual ones, those that Connection names, and what proxies of ours say to each other."""
    lines = sent(
        plan_of(
            b"Connection: keep-alive, X-Hop",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: secret",
            b"TE: trailers",
            b"Trailer: X",
            b"Upgrade: websocket",
            b"HTTP2-Settings: x",
            b"Swayam-Grant: me/1",
            b"X-Kept: 1",
        )
    )
    assert [line for line in lines[2:] if not line.startswith((b"Via", b"X-Forwarded"))] == [b"X-Kept: 1"]


def test_connection_cannot_take_the_length_away() -> None:
    """The framing of the body is ours, whatever Connection names."""
    lines = sent(
        plan_of(b"Connection: content-length, host", b"Content-Length: 005", start=b"POST /m HTTP/1.1")
    )
    assert b"Content-Length: 5" in lines
    assert b"Host: a.test" in lines


def test_claims_of_an_untrusted_client_are_replaced() -> None:
    """Who says that it comes from somewhere else is not believed."""
    claims = (
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Proto: https",
        b"Forwarded: for=x",
        b"X-Real-IP: 1.2.3.4",
    )
    lines = sent(plan_of(*claims))
    assert not any(b"1.2.3.4" in line or b"for=x" in line for line in lines)
    assert b"X-Forwarded-Proto: http" in lines


def test_claims_of_a_trusted_proxy_are_continued() -> None:
    """Its list of hops is kept and continued, in one field."""
    lines = sent(
        plan_of(
            b"X-Forwarded-For: 1.2.3.4",
            b"X-Forwarded-For: 5.6.7.8",
            b"X-Forwarded-Proto: https",
            b"X-Forwarded-Host: outside",
            b"Forwarded: for=x",
            trusted=True,
        )
    )
    assert lines[-1] == b"X-Forwarded-For: 1.2.3.4, 5.6.7.8, "
    assert {b"X-Forwarded-Proto: https", b"X-Forwarded-Host: outside", b"Forwarded: for=x"} <= set(lines)


def test_tls_is_told() -> None:
    """The backend learns that the client came by TLS."""
    assert b"X-Forwarded-Proto: https" in sent(plan_of(tls=True))


def test_the_host_may_be_set_and_is_never_missing() -> None:
    """The service's own host beats the client's; an HTTP/1.0 client without one gets ours."""
    assert b"Host: inner" in sent(plan_of(host_header="inner"))
    assert b"Host: proxy:80" in sent(plan_of(start=b"GET /m HTTP/1.0", host=b""))
    assert b"Host: b.test" in sent(plan_of(start=b"GET http://b.test/m HTTP/1.1"))


def test_a_route_may_take_its_prefix_off() -> None:
    """The backend sees the rest of the path, never an empty one."""
    route = RouteSpec("/m", strip_prefix=True)
    assert sent(plan_of(route=route))[0] == b"GET /a?b=c HTTP/1.1"
    assert sent(plan_of(route=route, start=b"GET /m?x HTTP/1.1"))[0] == b"GET /?x HTTP/1.1"


def test_a_route_may_look_at_fields_and_host() -> None:
    """Hosts are compared without port and case, fields by value; a remembered route does not mix them up."""
    spec = ServiceSpec("m", (), Sla(1.0, 0.99), routes=(RouteSpec("/m", headers=(("x-model", "a"),)),))
    service = ServiceSide(ServiceSettings("m"), 1.0, no_pool)  # type: ignore[arg-type]
    each = RequestPlanner(
        Router([spec]).match, {"m": service}, Limits(), trusted=False, tls=False, default_host=b"p"
    )
    for _ in range(2):
        assert each.read(b"GET /m HTTP/1.1\r\nHost: a\r\nX-Model: a\r\n\r\n").service is service
        assert each.read(b"GET /m HTTP/1.1\r\nHost: a\r\nX-Model: b\r\n\r\n").service is None
    hosted = planner(route=RouteSpec("/", host="a.test"))
    assert hosted.read(b"GET /x HTTP/1.1\r\nHost: A.test:81\r\n\r\n").service is not None
    assert hosted.read(b"GET /x HTTP/1.1\r\nHost: b.test\r\n\r\n").service is None
    six = planner(route=RouteSpec("/", host="[::1]"))
    assert six.read(b"GET /x HTTP/1.1\r\nHost: [::1]:81\r\n\r\n").service is not None


def test_plans_are_remembered_by_their_bytes_and_bounded() -> None:
    """The same bytes give the same plan; heads with an id of their own are not kept; the table is bounded."""
    each = planner()
    raw = b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n"
    assert each.read(raw) is each.known[raw]
    with_id = b"GET /m HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n\r\n"
    assert each.read(with_id).request_id == "1"
    assert with_id not in each.known
    for number in range(2000):
        each.read(b"GET /m/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
    assert len(each.known) <= 512


def test_an_insane_id_is_dropped() -> None:
    """The backend gets our id in place of one that could harm a log."""
    assert not any(b"X-Request-Id" in line for line in sent(plan_of(b'X-Request-Id: {"a"}')))


def test_too_large_a_body_is_known_from_the_head() -> None:
    """A length above the service's limit has its answer before any byte of the body."""
    plan = plan_of(b"Content-Length: 3000000", start=b"POST /m HTTP/1.1")
    assert plan.problem is not None
    assert (plan.problem.status, plan.problem.reason) == (413, "body_too_large")


def test_no_match_is_named() -> None:
    """Where no route leads there is an answer, and no backend."""
    match: RouteMatch | None = Router([]).match("a", "/x", [])
    assert match is None
    plan = plan_of(start=b"GET /other HTTP/1.1")
    assert plan.service is None
    assert plan.problem is not None
    assert plan.problem.status == 404


def answer_plan(*lines: bytes, start: bytes = b"HTTP/1.1 200 Fine") -> ResponsePlan:
    """Plan an answer of these lines."""
    return ResponsePlanner(Limits()).read(b"\r\n".join([start, *lines, b"", b""]))


def test_an_answer_keeps_its_fields_and_loses_the_hops() -> None:
    """End-to-end fields in order; hop-by-hop, named and our own ones do not pass."""
    plan = answer_plan(
        b"Server: x",
        b"Connection: X-Hop, keep-alive",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=9",
        b"X-Swayam-Reason: forged",
        b"X-Request-Id: theirs",
        b"Swayam-Idle: 1",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Content-Length: 002",
    )
    assert plan.client_head == (
        b"HTTP/1.1 200 Fine\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n"
        b"Via: 1.1 swayam\r\n"
    )
    assert plan.keep_alive_s == 9.0


@pytest.mark.parametrize(
    ("start", "keeps"),
    [(b"HTTP/1.1 204 No", False), (b"HTTP/1.1 304 No", True), (b"HTTP/1.1 103 Hints", False)],
)
def test_a_length_is_kept_where_it_means_something(start: bytes, keeps: bool) -> None:
    """304 tells the length of what it does not send; 204 and interim answers have none."""
    plan = answer_plan(b"Content-Length: 77", start=start)
    assert (b"Content-Length: 77" in plan.client_head) is keeps
    assert not plan.plain


def test_an_unknown_length_is_left_to_the_framing() -> None:
    """Chunked and unframed answers say nothing of length in the head that is kept."""
    for lines in ([b"Transfer-Encoding: chunked"], []):
        plan = answer_plan(*lines)
        assert b"ength" not in plan.client_head
        assert b"ransfer" not in plan.client_head
        assert not plan.plain
