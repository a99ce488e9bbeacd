"""Heads that differ in new values only: read quickly, and never otherwise than the long way."""

import random
from typing import Any

import pytest

from swayam_proxy.core.routing import Router
from swayam_proxy.core.vocabulary import RouteSpec, ServiceSpec, Sla
from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.head_shape import VARYING
from swayam_proxy.live.problem import Refused
from swayam_proxy.live.request_plan import RequestPlanner
from swayam_proxy.live.response_head import MalformedResponseError
from swayam_proxy.live.response_plan import ResponsePlanner
from swayam_proxy.live.settings import Limits, ServiceSettings

BODY_BYTES_MAX = 50_000
SERVICE = ServiceSide(
    ServiceSettings("m", request_body_bytes_max=BODY_BYTES_MAX),
    1.0,
    lambda *_: pytest.fail("nothing here connects"),
)
NOT_COMPARED = {"raw", "raw_bytes", "shape"}
"""How a head was found, not what it means."""


def request_planner() -> RequestPlanner:
    """Return a planner that has seen nothing."""
    spec = ServiceSpec("m", (), Sla(1.0, 0.99), routes=(RouteSpec("/m"),))
    return RequestPlanner(
        Router([spec]).match, {"m": SERVICE}, Limits(), trusted=False, tls=False, default_host=b"proxy:80"
    )


def request_head(number: int, rng: random.Random) -> bytes:
    """Return a head as real clients send them, every one new."""
    lines = [
        b"POST /m/100%/infer HTTP/1.1",
        b"Host: a.test",
        b"X-Request-Id: %032x" % number,
        b"Accept: */*",
        b"traceparent: 00-%032x-%016x-01" % (rng.getrandbits(128), number),
        b"X-Discount: 5%",
        b"tracestate: a=%x,b=%x" % (number, rng.getrandbits(rng.choice((8, 64)))),
        b"Content-Length: %d" % rng.randrange(1, 60_000),
    ]
    return b"\r\n".join((*lines, b"", b""))


def response_head(number: int, rng: random.Random) -> bytes:
    """Return a head as a sidecar sends them."""
    lines = [
        b"HTTP/1.1 200 OK",
        b"Content-Type: a/b; x=5%",
        b"Server-Timing: exec;dur=%d.%03d" % (number % 100, rng.randrange(1000)),
        b"X-Request-Id: %d" % number,
        b"X-Runtime: %.6f" % rng.random(),
        b"Content-Length: %d" % rng.randrange(2, 10_000),
    ]
    return b"\r\n".join((*lines, b"", b""))


def meaning(planner: RequestPlanner | ResponsePlanner, raw: bytes) -> Any:
    """Return all that a plan says, or why there is none."""
    try:
        return of_plan(planner.read(raw))
    except Refused as refused:
        return (refused.status, refused.reason)
    except MalformedResponseError:
        return "malformed"


def of_plan(plan: Any) -> dict[str, Any]:
    """Return what a plan says of its request or answer."""
    said = {name: getattr(plan, name) for name in type(plan).__slots__ if name not in NOT_COMPARED}
    if said.get("problem") is not None:
        said["problem"] = (said["problem"].status, said["problem"].reason)
    return said


@pytest.mark.parametrize(
    ("head_of", "planner_of"),
    [(request_head, request_planner), (response_head, lambda: ResponsePlanner(Limits()))],
)
def test_new_values_are_read_as_the_long_way_reads_them(head_of: Any, planner_of: Any) -> None:
    """A planner that knows the shape says of every further head what one says that has seen nothing."""
    rng = random.Random(11)
    planner = planner_of()
    shape = None
    found_count = 0
    for number in range(60):
        raw = head_of(number, rng)
        expected = meaning(planner_of(), raw)
        if shape is not None and (plan := shape.plan_of(raw + b"the body\r\n\r\n")) is not None:
            assert plan.raw_bytes == len(raw)
            assert of_plan(plan) == expected
            found_count += 1
        else:
            plan = planner.read(raw)
            assert of_plan(plan) == expected
            shape = plan.shape or shape
    assert found_count > 40, "the long way is the exception"


@pytest.mark.parametrize(
    ("head_of", "planner_of"),
    [(request_head, request_planner), (response_head, lambda: ResponsePlanner(Limits()))],
)
def test_broken_heads_find_no_shorter_way(head_of: Any, planner_of: Any) -> None:
    """Whatever is changed in a head, it is refused or understood as if its shape had never been seen."""
    rng = random.Random(12)
    planner = planner_of()
    for number in range(3):
        shape = planner.read(head_of(number, rng)).shape
    assert shape is not None
    spoils = (
        b"\r",
        b"\n",
        b"\r\n",
        b"\x00",
        b" ",
        b"\t",
        b"%",
        b":",
        b"\xff",
        b"0",
        b"",
        b"\r\n\r\n",
        b"a: b\r\n",
    )
    for number in range(400):
        raw = head_of(number, rng)
        at = rng.randrange(len(raw))
        data = raw[:at] + rng.choice(spoils) + raw[at + rng.randrange(3) :] + b"body"
        plan = shape.plan_of(data)
        if plan is not None:
            head = data[: data.find(b"\r\n\r\n") + 4]
            assert plan.raw_bytes == len(head)
            assert of_plan(plan) == meaning(planner_of(), head)


def test_only_shapes_that_come_again_are_kept() -> None:
    """The first head of a request line is only noted; so lines that never come again cost little."""
    rng = random.Random(13)
    planner = request_planner()
    shapes = [planner.read(request_head(number, rng)).shape for number in range(3)]
    assert shapes[0] is None
    assert shapes[1] is not None
    assert shapes[1] is shapes[2]


def test_a_body_that_became_too_large_is_refused() -> None:
    """The limit holds for the new length, not for that of the head whose shape it has."""
    rng = random.Random(14)
    planner = request_planner()
    raw = request_head(1, rng)
    fitting = raw[: raw.index(b"Content-Length")] + b"Content-Length: 10\r\n\r\n"
    assert [planner.read(fitting.replace(b"1-01", b"%d-01" % n)).problem for n in range(3)] == [None] * 3
    problem = planner.read(fitting.replace(b": 10", b": %d" % (BODY_BYTES_MAX + 1))).problem
    assert problem is not None
    assert problem.status == 413


@pytest.mark.parametrize(
    "line", [b"Expect: 100-continue", b"Connection: upgrade", b"Connection: traceparent"]
)
def test_what_asks_for_something_special_has_no_shape(line: bytes) -> None:
    """Expectations, upgrades and fields for one hop only are always read the long way."""
    rng = random.Random(15)
    planner = request_planner()
    plans = [planner.read(request_head(n, rng).replace(b"Accept: */*", line)) for n in range(4)]
    assert not any(plan.shape for plan in plans)


def test_what_varies_is_looked_at_or_only_passed_on() -> None:
    """Framing beyond a plain length, routing and the hop's own fields never count as new values."""
    assert VARYING.isdisjoint({b"transfer-encoding", b"connection", b"host", b"expect", b"upgrade", b"te"})
