"""Which service a request is for."""

from dataclasses import replace

import pytest

from swayam_proxy.core.routing import Router
from swayam_proxy.core.vocabulary import RouteSpec
from tests.core.playbook import service_spec


def _router(**routes: list[RouteSpec]) -> Router:
    return Router(
        [replace(service_spec(1), name=name, routes=tuple(specs)) for name, specs in routes.items()]
    )


def _name(router: Router, host: str, path: str, *fields: tuple[bytes, bytes]) -> str | None:
    match = router.match(host, path, fields)
    return match and match.service_name


def test_longest_path_prefix_wins_and_matches_whole_segments() -> None:
    """The route "/a/b" beats "/a"; "/ab" is not below "/a"."""
    router = _router(root=[RouteSpec("/")], a=[RouteSpec("/a")], ab=[RouteSpec("/a/b")])
    assert _name(router, "h", "/a/b/c") == "ab"
    assert _name(router, "h", "/a/x") == "a"
    assert _name(router, "h", "/a") == "a"
    assert _name(router, "h", "/ab") == "root"


def test_named_host_beats_any_host() -> None:
    """A route that names the host wins over a longer prefix that does not."""
    router = _router(named=[RouteSpec("/", host="m.example")], any=[RouteSpec("/a")])
    assert _name(router, "m.example", "/a/b") == "named"
    assert _name(router, "other", "/a/b") == "any"
    assert _name(router, "other", "/b") is None


def test_fields_narrow_a_route() -> None:
    """A route with field conditions is taken only where all of them hold, and before one without."""
    router = _router(canary=[RouteSpec("/", headers=(("x-version", "2"),))], stable=[RouteSpec("/")])
    assert _name(router, "h", "/", (b"X-Version", b"2")) == "canary"
    assert _name(router, "h", "/", (b"X-Version", b"3")) == "stable"
    assert _name(router, "h", "/") == "stable"


def test_strip_takes_the_prefix_off() -> None:
    """The match says which prefix is to be taken off before the request is sent."""
    router = _router(a=[RouteSpec("/models/a/", strip_prefix=True)])
    match = router.match("h", "/models/a/predict", ())
    assert match is not None and match.strip == "/models/a"


def test_same_route_twice_is_refused() -> None:
    """Two services cannot claim the very same route."""
    with pytest.raises(ValueError, match="taken twice"):
        _router(a=[RouteSpec("/x")], b=[RouteSpec("/x/")])
