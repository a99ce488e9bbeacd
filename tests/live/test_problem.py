"""Own errors: shape by path, and what tells them from a backend's."""

import json

import pytest

from swayam_proxy.live.problem import Problem, unknown_route


def parts(answer: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Take an answer apart: status line, fields by lower-case name, body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    return (
        start,
        {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)},
        body,
    )


def test_problem_json_says_what_and_why() -> None:
    """RFC 9457 with a reason for programs, Proxy-Status, Retry-After in whole seconds rounded up."""
    answer = Problem(503, "queue_full", retry_after_s=1.2).render("/m", "id-1", close=False)
    start, fields, body = parts(answer)
    assert start == b"HTTP/1.1 503 Service Unavailable"
    assert fields[b"content-type"] == b"application/problem+json"
    assert fields[b"x-swayam-reason"] == b"queue_full"
    assert fields[b"retry-after"] == b"2"
    assert fields[b"proxy-status"] == b"swayam; error=connection_limit_reached"
    assert fields[b"x-request-id"] == b"id-1"
    assert b"connection" not in fields
    assert int(fields[b"content-length"]) == len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["reason"], problem["request_id"]) == (503, "queue_full", "id-1")
    assert problem["detail"]


@pytest.mark.parametrize(
    ("path", "content_type", "message_of"),
    [
        ("/v1/chat/completions", b"application/json", lambda body: body["error"]["message"]),
        ("/v1/embeddings", b"application/json", lambda body: body["error"]["message"]),
        ("/v2/models/m/infer", b"application/json", lambda body: body["error"]),
        ("/other", b"application/problem+json", lambda body: body["detail"]),
    ],
)
def test_the_shape_follows_the_path(path: str, content_type: bytes, message_of: object) -> None:
    """Clients of OpenAI and of the V2 protocol find the message where they look for it."""
    _, fields, body = parts(Problem(502, "backend_reset", "it broke").render(path, "", close=True))
    assert fields[b"content-type"] == content_type
    assert fields[b"connection"] == b"close"
    assert message_of(json.loads(body)) == "it broke"  # type: ignore[operator]


def test_an_openai_error_tells_whose_fault_it_is() -> None:
    """The type says whether to change the request or to try again; the code is the reason."""
    for status, kind in ((400, "invalid_request_error"), (503, "server_error")):
        body = json.loads(parts(Problem(status, "r").render("/v1/completions", "", close=False))[2])
        assert (body["error"]["type"], body["error"]["code"]) == (kind, "r")


def test_head_gets_no_body() -> None:
    """The answer to HEAD tells the length and sends nothing."""
    _, fields, body = parts(Problem(404, "unknown_route").render("/", "", close=False, without_body=True))
    assert int(fields[b"content-length"]) > 0
    assert body == b""


def test_an_unknown_route_names_the_services_and_no_more_than_a_hundred() -> None:
    """The 404 helps to find the right path without becoming a dump."""
    names = tuple(f"s{number}" for number in range(1000))
    body = json.loads(parts(unknown_route(names).render("/", "", close=False))[2])
    assert body["services"] == list(names[:100])
