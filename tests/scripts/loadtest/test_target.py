"""Targets and requests: what is allowed, and the bytes that are sent."""

import json
import socket
import zlib

import pytest
from _loadtest.errors import UnreachableError, UsageError
from _loadtest.target import (
    VARIANTS_COUNT,
    RequestPlan,
    Target,
    Template,
    parse_target,
    require_loopback,
    require_reachable,
    template_bodies,
    template_path,
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:8080", Target("127.0.0.1", 8080)),
        ("http://localhost", Target("localhost", 80)),
        ("https://[::1]:8443/a?b=c", Target("::1", 8443, "/a?b=c", True)),
    ],
)
def test_targets_are_read(text: str, target: Target) -> None:
    """Addresses and URLs; the port follows the scheme."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text", ["", "ftp://a", "http://", "a:b", "http://a:99999", "http://u@a", "http://a/ b"]
)
def test_other_texts_are_no_targets(text: str) -> None:
    """What is no address is refused with examples."""
    with pytest.raises(UsageError, match=r"is no target|percent-encoded"):
        parse_target(text)


@pytest.mark.parametrize("host", ["10.0.0.1", "192.0.2.7", "2001:db8::1"])
def test_remote_targets_are_refused(host: str) -> None:
    """Nobody is loaded by mistake: an address that is not of this machine needs a switch."""
    with pytest.raises(UsageError, match="--allow-remote"):
        require_loopback((Target(host, 80),))


def test_loopback_is_allowed() -> None:
    """127.0.0.0/8 and ::1 are this machine."""
    require_loopback((Target("127.0.0.1", 80), Target("127.8.9.1", 80), Target("::1", 80)))


def test_a_closed_port_is_unreachable() -> None:
    """A target that nobody listens at is found out before any load is made."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        require_reachable((Target("127.0.0.1", port),))
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"):
        require_reachable((Target("127.0.0.1", port),))


@pytest.mark.parametrize("template", [Template.V1, Template.V2, Template.OPENAI])
def test_templates_differ_by_variant(template: Template) -> None:
    """Every variant is valid JSON and has its own checksum, so that mixed-up answers are noticed."""
    bodies = template_bodies(template, "digits", 0, stream=False)
    assert len({zlib.crc32(body) for body in bodies}) == VARIANTS_COUNT
    for body in bodies:
        assert json.loads(body)
    if template is not Template.OPENAI:
        assert "digits" in template_path(template, "digits")


@pytest.mark.parametrize("size", [0, 1, 127, 1024])
def test_raw_bodies_have_their_size(size: int) -> None:
    """To the byte."""
    assert {len(body) for body in template_bodies(Template.RAW, "m", size, stream=False)} == {size}


def test_request_bytes() -> None:
    """One request line, Host, own fields, framing, and the body."""
    plan = RequestPlan("POST", "/p", (b"abc",), (("X-A", "1"),))
    [(head, rest)] = plan.heads(Target("::1", 8080), keep_alive=False)
    assert head + rest == (
        b"POST /p HTTP/1.1\r\nHost: [::1]:8080\r\nX-A: 1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"
    )
    [(head, rest)] = RequestPlan("GET", "/p", (b"",), ()).heads(Target("a", 80, "/own"), keep_alive=True)
    assert head + rest == b"GET /own HTTP/1.1\r\nHost: a:80\r\n\r\n"
