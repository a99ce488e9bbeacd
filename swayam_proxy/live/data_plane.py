"""The data plane, put together: listeners, client connections, services with their pools, and the one sweep
timer.

What `wiring` starts and `process` drains. Knows no rules: those are behind the driver.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from swayam_proxy.live.backend_pool import BackendPool, ServiceSide
from swayam_proxy.live.client_connection import ClientConnection
from swayam_proxy.live.driver import RequestDriver
from swayam_proxy.live.listener import Listener
from swayam_proxy.live.record import Recorder
from swayam_proxy.live.request_plan import RequestPlanner
from swayam_proxy.live.response_plan import ResponsePlanner
from swayam_proxy.live.settings import LiveSettings, ServiceSettings
from swayam_proxy.live.shared import Shared
from swayam_proxy.live.upstream import UpstreamConnection

_SWEEP_S = 0.1
"""How late a timeout may be noticed."""
_POOL_SWEEPS_EVERY = 10
_STOP_S = 5.0
"""Connections that were aborted are gone in the next turn of the loop; this only keeps a mistake from
hanging."""


@dataclass(frozen=True, slots=True)
class DataPlaneSnapshot:
    """What the data plane does now."""

    addresses: tuple[tuple[str, int], ...]
    connections_count: int
    connections_max: int
    requests_count: int
    draining: bool
    accepting: bool
    in_flight_count: int
    idle_backend_connections_count: int


class DataPlane:
    """Serves clients on all listening addresses of one process."""

    connection_class: type[ClientConnection] = ClientConnection
    planner_class: type[RequestPlanner] = RequestPlanner

    def __init__(
        self, driver: RequestDriver, settings: LiveSettings, recorder: Recorder, control_name: str = "nobody"
    ) -> None:
        """Prepare on the running loop; nothing is bound before `start`.

        `control_name` is what sidecars know this frontend by.

        Raises:
            OSError: a file of authorities for an https backend cannot be read.
        """
        self._settings = settings
        self._loop = loop = asyncio.get_running_loop()
        self._response_planner = ResponsePlanner(settings.limits)
        promises = {service.name: service.sla.response_time_s for service in driver.services}
        services = {
            service.name: ServiceSide(service, promises[service.name], self._new_pool)
            for service in settings.services
        }
        self._driver = driver
        self._shared = Shared(settings, driver, recorder, loop, services)
        self._shared.grant_line = b"Swayam-Grant: %b/%%d\r\n" % control_name.encode("ascii")
        self._shared.on_connection_closed = self._look_for_room
        for spec in driver.services:
            for backend in spec.backends:
                services[spec.name].pool(backend.address)
        self._connections_max = settings.limits.connections_max
        self._listeners: list[Listener] = []
        self._planners: dict[bool, tuple[RequestPlanner, RequestPlanner]] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._sweeps_count = 0
        self._is_full = False
        self._empty = asyncio.Event()

    # -- life --

    async def start(self) -> tuple[tuple[str, int], ...]:
        """Bind all addresses and accept; return what was bound, in the order of the settings.

        Raises:
            OSError: an address cannot be bound or a certificate not read; nothing is left bound.
        """
        try:
            for settings in self._settings.listen:
                listener = Listener(
                    settings, self._loop, self._new_connection, self._may_accept, self._look_for_room
                )
                self._listeners.append(listener)
        except OSError:
            for listener in self._listeners:
                listener.close()
            raise
        host, port = self._listeners[0].address if self._listeners else ("localhost", 80)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._planners = {
            tls: self._planner_pair(authority.encode("ascii"), tls=tls) for tls in (False, True)
        }
        for listener in self._listeners:
            listener.resume()
        self._sweep_timer = self._loop.call_later(_SWEEP_S, self._sweep)
        return tuple(listener.address for listener in self._listeners)

    def begin_drain(self) -> None:
        """Listen no more, close idle connections, let every answer in flight be its connection's last."""
        if self._shared.draining:
            return
        for listener in self._listeners:
            listener.close()
        self._shared.draining = True
        for connection in list(self._shared.connections):
            connection.drain()
        self._check_empty()

    async def wait_drained(self) -> None:
        """Wait until the last client of a drain has gone."""
        await self._empty.wait()

    async def stop(self) -> None:
        """End at once, and return when nothing is left."""
        self.abort()
        async with asyncio.timeout(_STOP_S):
            await self._empty.wait()

    @property
    def in_flight_count(self) -> int:
        """Requests that were begun and have not ended."""
        return sum(connection.is_serving for connection in self._shared.connections)

    def abort(self) -> None:
        """End at once: listeners, clients, backends and the timer."""
        self._shared.draining = True
        for listener in self._listeners:
            listener.close()
            listener.stop()
        for connection in list(self._shared.connections):
            connection.abort()
        for service in self._shared.services.values():
            for pool in service.pools.values():
                pool.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self._check_empty()

    def snapshot(self) -> DataPlaneSnapshot:
        """Return what it does now; alters nothing."""
        shared = self._shared
        return DataPlaneSnapshot(
            addresses=tuple(listener.address for listener in self._listeners),
            connections_count=len(shared.connections),
            connections_max=self._connections_max,
            requests_count=shared.requests_count,
            draining=shared.draining,
            accepting=not self._is_full and not shared.draining,
            in_flight_count=self.in_flight_count,
            idle_backend_connections_count=sum(
                len(pool.idle) for service in shared.services.values() for pool in service.pools.values()
            ),
        )

    def forget_backend(self, service_name: str, address: str) -> None:
        """Close the idle connections to an address that is used no more."""
        pool = self._shared.services[service_name].pools.pop(address, None)
        if pool is not None:
            pool.close()

    # -- inside --

    def _planner_pair(self, authority: bytes, *, tls: bool) -> tuple[RequestPlanner, RequestPlanner]:
        def planner(*, trusted: bool) -> RequestPlanner:
            return self.planner_class(
                self._driver.route,
                self._shared.services,
                self._settings.limits,
                trusted=trusted,
                tls=tls,
                default_host=authority,
            )

        return planner(trusted=False), planner(trusted=True)

    def _new_connection(self, tls: bool) -> ClientConnection:
        return self.connection_class(self._shared, self._planners[tls])

    def _new_pool(self, address: str, settings: ServiceSettings) -> BackendPool:
        limits = self._settings.limits

        def new_upstream(pool: BackendPool) -> UpstreamConnection:
            return UpstreamConnection(self._response_planner, limits, pool)

        clock: Callable[[], float] = self._driver.clock
        return BackendPool(
            address, settings, new_upstream, self._loop, clock, limits.idle_connections_per_backend_max
        )

    def _may_accept(self) -> bool:
        count = len(self._shared.connections) + sum(listener.opening_count for listener in self._listeners)
        self._is_full = count >= self._connections_max
        return not self._is_full

    def _look_for_room(self) -> None:
        if self._is_full and not self._shared.draining and self._may_accept():
            for listener in self._listeners:
                listener.resume()
        if self._shared.draining:
            self._check_empty()

    def _check_empty(self) -> None:
        if not self._shared.connections and not any(listener.opening_count for listener in self._listeners):
            self._empty.set()

    def _sweep(self) -> None:
        """Look once at everything that can have been waited for too long."""
        shared = self._shared
        self._sweep_timer = self._loop.call_later(_SWEEP_S, self._sweep)
        now = shared.clock()
        for connection in [each for each in shared.connections if each.deadline <= now]:
            connection.on_deadline(now)
        for connection in list(shared.half_closed):
            connection.look_for_reset()
        for listener in self._listeners:
            if listener.is_stuck:
                listener.is_stuck = False
                listener.resume()
        self._sweeps_count += 1
        if self._sweeps_count % _POOL_SWEEPS_EVERY == 0:
            for service in shared.services.values():
                for pool in service.pools.values():
                    pool.sweep(now)
        if shared.draining:
            self._check_empty()
