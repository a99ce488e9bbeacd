"""The connections to the backends of one service: idle ones kept, new ones made, suspicious ones dropped.

A backend may close a kept connection just when the next request is written to it. One that may be repeated is
sent once more; for the others the pool learns how long the backend keeps connections. It trusts one for half
of the longest time that it saw one stay open, and for no more than half of the shortest after which one was
closed.

Last in, first out, so that few connections stay warm and the rest time out. Knows neither requests nor the
rules; it hands a connection to whoever asked, or the fault why there is none.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import Protocol

from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Fault
from swayam_proxy.live.settings import ServiceSettings
from swayam_proxy.live.tls import backend_context
from swayam_proxy.live.upstream import UpstreamConnection

_TRUSTED_AT_FIRST_S = 0.25
_TRUSTED_SHARE = 0.5
_QUIET_COUNT_MIN = 1000
_A_MOMENT_S = 0.005
"""The loop notices the end of an idle connection in its next turn; a look closes the gap within a turn."""
_OWN_ERRORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL))
"""This process, or this machine, has no descriptor, memory or port left."""
_TLS_ERRORS = (ssl.SSLError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
"""Only a backend that took the connection can reset it; asyncio aborts a handshake that takes too long."""
_HANDSHAKE_SHARE = 0.9
"""Of the time for connecting, so that a slow handshake is told from a slow connect."""
_KEEP_ALIVE_MARGIN_S = 1.0
"""An idle connection is given up this long before the backend says that it will close it."""


class Caller(Protocol):
    """Whoever asked for a connection."""

    def connected(self, ticket: Ticket, upstream: UpstreamConnection) -> None:
        """Use the new connection."""

    def connect_failed(self, ticket: Ticket, fault: Fault, *, own_fault: bool) -> None:
        """There is none; `own_fault` says that this process ran out of descriptors or ports."""


class BackendPool:
    """Connections to one backend."""

    __slots__ = (
        "_clock",
        "_connecting",
        "_handshake_s",
        "_loop",
        "_new_upstream",
        "_quiet_count",
        "_tls",
        "address",
        "host",
        "idle",
        "idle_count_max",
        "idle_s",
        "port",
        "server_name",
        "trusted_idle_s",
    )

    def __init__(
        self,
        address: str,
        settings: ServiceSettings,
        new_upstream: Callable[["BackendPool"], UpstreamConnection],
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float],
        idle_count_max: int,
    ) -> None:
        """Connect to `address`, "host:port" or "https://host:port", when asked."""
        scheme, _, authority = address.rpartition("://")
        host, _, port = authority.rstrip("/").rpartition(":")
        self.address = address
        self.host = host.strip("[]")
        self.port = int(port)
        self._tls: ssl.SSLContext | None = (
            backend_context(settings.backend_tls) if scheme == "https" else None
        )
        self._handshake_s = settings.timeouts.connect_s * _HANDSHAKE_SHARE if self._tls else None
        self.server_name = (settings.backend_tls.server_name or self.host) if self._tls else None
        self._new_upstream = new_upstream
        self._loop = loop
        self._clock = clock
        self._connecting: set[asyncio.Task[None]] = set()
        self.idle: list[UpstreamConnection] = []
        self.idle_count_max = idle_count_max
        self.idle_s = settings.timeouts.backend_idle_s
        self.trusted_idle_s = _TRUSTED_AT_FIRST_S
        self._quiet_count = 0
        """How often in a row an idle connection was looked at, and nothing had come."""

    def take(self, now: float, *, idempotent: bool) -> UpstreamConnection | None:
        """Return the idle connection that was used last, or None.

        One on which anything has come in (an end, or bytes that nobody asked for) is dropped, also if the
        loop has not read it yet. To ask the kernel costs as much as all else here; so a backend that was
        found quiet very often is no more asked about connections that it answered on a moment ago. A request
        that must not be repeated gets a trusted connection or none.
        """
        idle = self.idle
        while idle:
            upstream = idle.pop()
            idle_s = now - upstream.freed_at
            if self._quiet_count < _QUIET_COUNT_MIN or idle_s > _A_MOMENT_S:
                if not upstream.is_quiet():
                    self._quiet_count = 0
                    upstream.abort()
                    continue
                self._quiet_count += 1
            if idempotent or idle_s <= self.trusted_idle_s:
                return upstream
            idle.append(upstream)
            return None
        return None

    def give_back(self, upstream: UpstreamConnection, keep_alive_s: float | None, now: float) -> None:
        """Keep a connection whose answer has ended."""
        upstream.is_reused = True
        upstream.freed_at = now
        upstream.idle_until = now + self.idle_s
        if keep_alive_s is not None:
            upstream.idle_until = min(upstream.idle_until, now + keep_alive_s - _KEEP_ALIVE_MARGIN_S)
        idle = self.idle
        idle.append(upstream)
        if len(idle) > self.idle_count_max:
            # the oldest goes: new ones are trusted, and what nobody takes must not keep them out
            idle.pop(0).abort()

    def closed_while_idle(self, upstream: UpstreamConnection) -> None:
        """Drop an idle connection that the backend closed, and learn from it."""
        if upstream in self.idle:
            self.idle.remove(upstream)
            self.closed_after(self._clock() - upstream.freed_at)

    def spoke_unasked(self, upstream: UpstreamConnection) -> None:
        """Drop an idle connection on which bytes came that nobody asked for, and be wary of the backend."""
        self._quiet_count = 0
        if upstream in self.idle:
            self.idle.remove(upstream)

    def closed_after(self, idle_s: float) -> None:
        """Learn that the backend closed a connection that was idle for so long."""
        self.trusted_idle_s = min(self.trusted_idle_s, idle_s * _TRUSTED_SHARE)

    def connect(self, caller: Caller, ticket: Ticket) -> asyncio.Task[None]:
        """Make a new connection for `caller`; cancel the task to give up."""
        task = self._loop.create_task(self._connect(caller, ticket))
        self._connecting.add(task)
        task.add_done_callback(self._connect_ended)
        return task

    async def _connect(self, caller: Caller, ticket: Ticket) -> None:
        try:
            _, upstream = await self._loop.create_connection(
                lambda: self._new_upstream(self),
                self.host,
                self.port,
                ssl=self._tls,
                server_hostname=self.server_name,
                ssl_handshake_timeout=self._handshake_s,
            )
        except OSError as error:
            fault = Fault.TLS if self._tls is not None and isinstance(error, _TLS_ERRORS) else Fault.REFUSED
            caller.connect_failed(ticket, fault, own_fault=error.errno in _OWN_ERRORS)
        else:
            caller.connected(ticket, upstream)

    def _connect_ended(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"mistake while connecting to {self.address}", "exception": error}
            self._loop.call_exception_handler(context)

    def sweep(self, now: float) -> None:
        """Close the connections that were idle for too long; learn from those that are still open."""
        if not self.idle:
            return
        # given back in order of time, so the first has been idle for longest
        open_s = now - self.idle[0].freed_at
        self.trusted_idle_s = max(self.trusted_idle_s, open_s * _TRUSTED_SHARE)
        if min(upstream.idle_until for upstream in self.idle) <= now:
            overdue = [upstream for upstream in self.idle if upstream.idle_until <= now]
            self.idle = [upstream for upstream in self.idle if upstream.idle_until > now]
            for upstream in overdue:
                upstream.abort()

    def close_idle(self) -> None:
        """Close all idle connections."""
        idle, self.idle = self.idle, []
        for upstream in idle:
            upstream.abort()

    def close(self) -> None:
        """Close all idle connections and give up those being made."""
        self.close_idle()
        for task in self._connecting:
            task.cancel()


class ServiceSide:
    """One service as the data plane sees it: its timeouts, limits and pools."""

    __slots__ = (
        "_new_pool",
        "_settings",
        "has_sidecars",
        "host_header",
        "name",
        "own_lines",
        "pools",
        "promise_s",
        "request_body_bytes_max",
        "timeouts",
    )

    def __init__(
        self,
        settings: ServiceSettings,
        promise_s: float,
        new_pool: Callable[[str, ServiceSettings], BackendPool],
    ) -> None:
        """Serve under `settings`; `promise_s` is the response time that was promised."""
        self.name = settings.name
        self.has_sidecars = settings.sidecar is not None
        self.timeouts = settings.timeouts
        self.request_body_bytes_max = settings.request_body_bytes_max
        self.host_header = settings.host_header.encode("ascii") if settings.host_header else b""
        self.own_lines = settings.sidecar.service_line if settings.sidecar is not None else b""
        """Fields that every request of this service carries to its backends."""
        self.promise_s = promise_s
        self.pools: dict[str, BackendPool] = {}
        self._settings = settings
        self._new_pool = new_pool

    def pool(self, address: str) -> BackendPool:
        """Return the pool of the backend at `address`, made when first asked for."""
        pool = self.pools.get(address)
        if pool is None:
            pool = self.pools[address] = self._new_pool(address, self._settings)
        return pool
