"""Many fake backends in one process: listen, say so, serve until told to stop.

Knows sockets and signals; what a request becomes is the backend's business.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import web

from fake_backend.alarm import Alarm
from fake_backend.backend import Backend
from fake_backend.settings import FleetSettings, Work

_BACKLOG_COUNT = 1024
_SPIN_THREADS_COUNT_MAX = 64
_KEEP_ALIVE_S = 3600.0
_STOP_S = 0.5
_FIELD_BYTES_MAX = 64 * 1024


class ListenError(Exception):
    """An address that cannot be listened at."""


class Fleet:
    """The backends of one process; an asynchronous context in which they serve."""

    def __init__(self, settings: FleetSettings) -> None:
        self.settings = settings
        self.backends: list[Backend] = []
        self._listeners: list[asyncio.Server] = []
        self._servers: list[web.Server] = []
        self._alarm: Alarm | None = None
        self._pool: ThreadPoolExecutor | None = None

    @property
    def addresses(self) -> list[str]:
        """Where the backends listen, in order of their index."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return [f"{host}:{backend.port}" for backend in self.backends]

    async def __aenter__(self) -> "Fleet":
        """Listen everywhere, or raise ListenError and leave nothing open."""
        settings = self.settings
        self._alarm = Alarm(asyncio.get_running_loop())
        if settings.backend.work is Work.SPIN:
            threads_count = min(_SPIN_THREADS_COUNT_MAX, settings.count * settings.backend.slots_count)
            self._pool = ThreadPoolExecutor(threads_count, thread_name_prefix="spin")
        try:
            for offset in range(settings.count):
                await self._start_one(offset)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving."""
        await self.close()

    async def drain(self) -> None:
        """Let backends with the sidecar protocol decommission themselves; at most `drain_s`."""
        sidecars = [backend.sidecar for backend in self.backends if backend.sidecar is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.drain_s):
                await asyncio.gather(*(sidecar.drain() for sidecar in sidecars))

    async def close(self) -> None:
        """Close the listeners, cut what is in flight, give everything back."""
        for listener in self._listeners:
            listener.close()
        for backend in self.backends:
            backend.close()
        await asyncio.gather(*(server.shutdown(_STOP_S) for server in self._servers))
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        if self._alarm is not None:
            self._alarm.close()

    async def _start_one(self, offset: int) -> None:
        assert self._alarm is not None
        settings = self.settings
        backend = Backend(
            settings.backend,
            index=settings.first_index + offset,
            seed=settings.seed,
            alarm=self._alarm,
            pool=self._pool,
        )
        server = web.Server(
            backend.handle,
            handler_cancellation=True,
            access_log=None,
            tcp_keepalive=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            auto_decompress=False,
            max_line_size=_FIELD_BYTES_MAX,
            max_field_size=_FIELD_BYTES_MAX,
            max_headers=1000,
        )
        port = settings.port + offset if settings.port else 0
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(server, settings.host, port, backlog=_BACKLOG_COUNT)
        except OSError as error:
            raise ListenError(
                f"cannot listen at {settings.host}:{port}: {error.strerror or error}"
            ) from error
        self._listeners.append(listener)
        self._servers.append(server)
        backend.listens_at(listener.sockets[0].getsockname()[1])
        self.backends.append(backend)


async def serve_until_signal(settings: FleetSettings, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, then drain until a second one; `say` gets one line once all listen."""
    loop = asyncio.get_running_loop()
    stopped, hurried = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (hurried if stopped.is_set() else stopped).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with Fleet(settings) as fleet:
        if settings.ready_file is not None:
            write = partial(settings.ready_file.write_text, "".join(f"{one}\n" for one in fleet.addresses))
            await loop.run_in_executor(None, write)
        say(f"ready {','.join(fleet.addresses)}")
        with contextlib.suppress(asyncio.CancelledError):
            await stopped.wait()
            ends = [asyncio.ensure_future(fleet.drain()), asyncio.ensure_future(hurried.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
