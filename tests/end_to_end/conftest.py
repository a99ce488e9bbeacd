"""The proxy that most rows share, and what hands its services, backends and clients to the tests.

One process per worker serves many services, each with places of its own; a test takes the next unused one. So
ejections and budgets of one test cannot touch another, and no test pays for a start.
"""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.proxy_process import ProxyProcess
from tests.end_to_end.raw_client import RawClient
from tests.end_to_end.scripted_backend import Place, Script, ScriptedBackend
from tests.end_to_end.sidecar_fixtures import implementation, subject, subjects, take  # noqa: F401

MATRIX_LIMITS = {
    "request_head_bytes_max": 32 * 1024,
    "request_fields_max": 100,
    "response_head_bytes_max": 64 * 1024,
    "request_body_bytes_max": 2 * 1024 * 1024,
}
MATRIX_TIMEOUTS = {
    "connect": "1s",
    "response_head": "2s",
    "response_idle": "2s",
    "request_head": "10s",
    "request_body_idle": "10s",
    "drain": "5s",
}
"""The settings that the rows of the fault matrix assume."""

KINDS = {
    "one": {"count": 240, "backends": 1, "slots": 1000},
    "two": {"count": 24, "backends": 2, "slots": 1000},
    "narrow": {"count": 12, "backends": 1, "slots": 1},
}
"""Kinds of services of the shared proxy: how many there are, and what each consists of."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a proxy: its path and the places of its backends, in order."""

    name: str
    places: tuple[Place, ...]

    @property
    def path(self) -> str:
        """The path prefix that leads to it."""
        return f"/{self.name}"


def service_table(places: tuple[Place, ...], *, slots: int = 1000, **more: Any) -> dict[str, Any]:
    """Return the configuration of one service over `places`, all of them always in use."""
    return {
        "backends": [place.address for place in places],
        "slots": slots,
        "dispatch": "p2c",
        "sla": {"response_time": "1s", "level": 0.99, "burst": 2.0},
        "execution_time": "20ms",
        "min": len(places),
        "max": len(places),
        **more,
    }


def proxy_config(services: dict[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a whole configuration on free ports, with the settings of the matrix; `more` replaces tables."""
    routed = {name: {"routes": [{"path_prefix": f"/{name}"}], **table} for name, table in services.items()}
    return {
        "listen": {"host": "127.0.0.1", "port": 0},
        "admin": {"host": "127.0.0.1", "port": 0},
        "limits": MATRIX_LIMITS,
        "timeouts": MATRIX_TIMEOUTS,
        "services": routed,
        **more,
    }


class SharedProxy:
    """A running proxy and its unused services."""

    def __init__(self, process: ProxyProcess, services: dict[str, list[Service]]) -> None:
        """Begin with every service of `services` (by kind) unused."""
        self.process = process
        self._unused = services

    def take(self, kind: str = "one") -> Service:
        """Hand out a service that no test has used."""
        assert self._unused[kind], f"no {kind!r} service is left: raise its count in KINDS"
        return self._unused[kind].pop(0)


@contextmanager
def running_proxy(
    directory: Path, config: dict[str, Any], environment: dict[str, str] | None = None
) -> Iterator[ProxyProcess]:
    """Run a proxy process; at the end it must stop with exit status 0 and must not have complained."""
    process = ProxyProcess(directory, config, environment)
    process.start()
    try:
        yield process
    finally:
        exit_status = process.stop()
    assert exit_status == 0, process.stderr()
    assert not process.new_complaints(), process.stderr()


@pytest.fixture(scope="session")
def shared_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedProxy]:
    """One proxy process for all tests of this worker."""
    services = {
        kind: [
            Service(f"{kind}-{number}", tuple(Place() for _ in range(shape["backends"])))
            for number in range(1, shape["count"] + 1)
        ]
        for kind, shape in KINDS.items()
    }
    tables = {
        service.name: service_table(service.places, slots=KINDS[kind]["slots"], tick="5s")
        for kind, of_kind in services.items()
        for service in of_kind
    }
    places = [place for of_kind in services.values() for service in of_kind for place in service.places]
    try:
        with running_proxy(tmp_path_factory.mktemp("shared"), proxy_config(tables)) as process:
            yield SharedProxy(process, services)
    finally:
        for place in places:
            place.close()


@pytest.fixture
def proxy(shared_proxy: SharedProxy) -> Iterator[SharedProxy]:
    """The shared proxy; fails the test during which it wrote a traceback or a warning."""
    yield shared_proxy
    complaints = shared_proxy.process.new_complaints()
    assert not complaints, f"the proxy complained during this test:\n{complaints}"


@pytest.fixture
def one(proxy: SharedProxy) -> Service:
    """A service with one backend."""
    return proxy.take("one")


@pytest.fixture
def two(proxy: SharedProxy) -> Service:
    """A service with two backends, both in use."""
    return proxy.take("two")


@pytest.fixture
def narrow(proxy: SharedProxy) -> Service:
    """A service with one backend that has one slot."""
    return proxy.take("narrow")


Serve = Callable[..., Awaitable[ScriptedBackend]]
Connect = Callable[..., Awaitable[RawClient]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """What starts scripted backends (place, script); they end with the test, which fails if a script did."""
    backends: list[ScriptedBackend] = []

    async def start(place: Place, script: Script, tls: ssl.SSLContext | None = None) -> ScriptedBackend:
        backend = ScriptedBackend(place, script)
        backends.append(backend)
        return await backend.start(tls)

    yield start
    for backend in backends:
        await backend.stop()


@pytest.fixture
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """What opens clients to the shared proxy, or to another endpoint; they are closed with the test."""
    clients: list[RawClient] = []

    async def open_one(
        endpoint: tuple[str, int] | None = None, tls: ssl.SSLContext | None = None
    ) -> RawClient:
        if endpoint is None:
            shared: SharedProxy = request.getfixturevalue("shared_proxy")
            endpoint = shared.process.endpoint
        client = await RawClient.open(endpoint, tls)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        await client.close()
