"""A data plane inside the test's own process: the real driver and rules, real sockets, records in a list.

Also what runs a test on both event loops: the stdlib's must serve as uvloop does.
"""

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.vocabulary import BackendSpec, FrontendSpec, RouteSpec, ServiceSpec, Sla
from swayam_proxy.live.data_plane import DataPlane
from swayam_proxy.live.driver import Driver
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.settings import (
    AdminSettings,
    Limits,
    ListenSettings,
    LiveSettings,
    ServiceSettings,
    Timeouts,
)
from tests.end_to_end.connection import wait_until
from tests.end_to_end.raw_client import RawClient
from tests.end_to_end.scripted_backend import Place, Script, ScriptedBackend

Serve = Callable[[Script], Awaitable[ScriptedBackend]]
LOOPS = {"stdlib": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Plane:
    """A running data plane and what it recorded."""

    def __init__(self) -> None:
        """Begin with no record; `running_plane` fills in the rest."""
        self.records: list[RequestRecord] = []
        self.clients: list[RawClient] = []
        self.data_plane: DataPlane
        self.driver: Driver
        self.endpoint: tuple[str, int]

    def record(self, request: RequestRecord) -> None:
        """Keep a record."""
        self.records.append(request)

    async def connect(self) -> RawClient:
        """Open a client; it is closed with the plane."""
        client = await RawClient.open(self.endpoint)
        self.clients.append(client)
        return client

    async def next_record(self, count: int = 1) -> RequestRecord:
        """Wait until so many requests have ended, and return the last record."""
        await wait_until(lambda: len(self.records) >= count)
        assert len(self.records) == count
        return self.records[-1]

    @property
    def in_flight_count(self) -> int:
        """What the rules believe to be in flight."""
        return self.driver.snapshot().services[0].in_flight_count


@asynccontextmanager
async def running_plane(
    *addresses: str,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    slots: int = 100,
    listen: Sequence[ListenSettings] = (ListenSettings(port=0),),
    settings: dict[str, Any] | None = None,
    service: dict[str, Any] | None = None,
) -> AsyncIterator[Plane]:
    """Serve one service, m, over these backends, all in use; `settings` and `service` say more of each."""
    loop = asyncio.get_running_loop()
    backends = tuple(BackendSpec(address, slots) for address in addresses)
    spec = ServiceSpec("m", backends, Sla(1.0, 0.99), routes=(RouteSpec("/m"),), observe_only=True)
    plane = Plane()
    plane.driver = Driver(
        Frontend(FrontendSpec("proxy-1", (spec,)), random.Random(7), time.monotonic()), loop
    )
    timeouts = timeouts or Timeouts()
    live = LiveSettings(
        listen=tuple(listen),
        admin=AdminSettings(),
        services=(ServiceSettings("m", timeouts=timeouts, **(service or {})),),
        limits=limits or Limits(),
        timeouts=timeouts,
        **(settings or {}),
    )
    plane.data_plane = DataPlane(plane.driver, live, plane)
    plane.endpoint, *_ = await plane.data_plane.start()
    plane.driver.start()
    try:
        yield plane
    finally:
        for client in plane.clients:
            await client.close()
        await plane.data_plane.stop()
        plane.driver.stop()


@asynccontextmanager
async def scripted_backends() -> AsyncIterator[Serve]:
    """What starts backends at places of their own; they end with it, and fail it if their script did."""
    backends: list[ScriptedBackend] = []

    async def start(script: Script) -> ScriptedBackend:
        backend = ScriptedBackend(Place(), script)
        backends.append(backend)
        return await backend.start()

    try:
        yield start
    finally:
        for backend in backends:
            await backend.stop()
            backend.place.close()


def on_both_loops(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make an async test, whose first argument starts backends, into one that runs on either loop."""

    def run(loop: str, **arguments: Any) -> None:
        async def main() -> None:
            async with scripted_backends() as serve:
                await test(serve, **arguments)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    _, *others = inspect.signature(test).parameters.values()
    first = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
    return pytest.mark.parametrize("loop", LOOPS)(run)
