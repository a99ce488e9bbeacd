"""Asks backends, one small GET each, whether they can serve, and tells the rules what they answered.

Knows addresses, paths and time limits; decides nothing: `core.pool` counts rises and falls. Every backend
counts as healthy until its checks say otherwise. The checks of a service are spread over its interval and
jittered, so that many frontends do not ask at the same moment, and never more than `CHECKS_MAX` run at a
time.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final
from urllib.parse import urlsplit

from swayam_proxy.core.events import BackendProbed
from swayam_proxy.core.vocabulary import FrontendSpec, Rng
from swayam_proxy.live.settings import ProbeSettings, ServiceSettings
from swayam_proxy.live.tls import backend_context

CHECKS_MAX: Final = 32
_JITTER_SHARE: Final = 0.1
_HEAD_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One backend to be asked again and again."""

    service_name: str
    backend_index: int
    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str | None
    probe: ProbeSettings
    request: bytes


class Prober:
    """The active checks of one proxy; `report` is told every result."""

    def __init__(
        self,
        spec: FrontendSpec,
        services: Sequence[ServiceSettings],
        report: Callable[[BackendProbed], None],
        rng: Rng,
        *,
        is_set_up: Callable[[str, int], bool] = lambda _service_name, _backend_index: True,
    ) -> None:
        """Prepare checks for services whose interval is not 0; what is not set up is left alone."""
        self._checks = checks_of(spec, services)
        self._report = report
        self._rng = rng
        self._is_set_up = is_set_up
        self._running: set[asyncio.Task[None]] = set()
        self._schedule: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(CHECKS_MAX)

    def start(self) -> None:
        """Begin to ask, from now on until `stop`; needs a running loop."""
        if self._checks:
            self._schedule = asyncio.get_running_loop().create_task(self._run(), name="prober")

    async def stop(self) -> None:
        """Ask no more; checks under way are dropped."""
        tasks = [task for task in (self._schedule, *self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._schedule = None

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        now = clock()
        due = [
            (now + self._rng.random() * check.probe.interval_s, position)
            for position, check in enumerate(self._checks)
        ]
        heapify(due)
        while True:
            when, position = heappop(due)
            await asyncio.sleep(max(0.0, when - clock()))
            check = self._checks[position]
            if self._is_set_up(check.service_name, check.backend_index):
                await self._room.acquire()
                task = asyncio.get_running_loop().create_task(self._ask_and_report(check))
                self._running.add(task)
                task.add_done_callback(self._ended)
            jitter = 1.0 + _JITTER_SHARE * (2.0 * self._rng.random() - 1.0)
            # a check that is behind is skipped rather than made up for
            heappush(
                due, (max(when, clock() - check.probe.interval_s) + check.probe.interval_s * jitter, position)
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.release()

    async def _ask_and_report(self, check: Check) -> None:
        status = await ask(check)
        healthy = status is not None and any(low <= status <= high for low, high in check.probe.statuses)
        self._report(BackendProbed(check.service_name, check.backend_index, healthy))


async def ask(check: Check) -> int | None:
    """Return the status that a backend answers; None when it does not answer in time or not in HTTP."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(check.probe.timeout_s):
            reader, writer = await asyncio.open_connection(
                check.host,
                check.port,
                ssl=check.tls,
                server_hostname=check.server_name if check.tls else None,
                limit=_HEAD_BYTES_MAX,
            )
            writer.write(check.request)
            while True:
                status = status_of(await reader.readuntil(b"\n"))
                if status is None or status >= 200:
                    return status
                while (await reader.readuntil(b"\n")).strip():
                    pass  # the fields of an interim answer
    except (OSError, EOFError, asyncio.LimitOverrunError):  # a timeout and a refused certificate are OSErrors
        return None
    finally:
        if writer is not None:
            writer.transport.abort()


def status_of(line: bytes) -> int | None:
    """Read a status line; None when it is none."""
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or len(code) < 3 or not code.isdigit():
        return None
    return int(code)


def checks_of(spec: FrontendSpec, services: Sequence[ServiceSettings]) -> list[Check]:
    """Return the checks of all services that want some."""
    settings_of = {settings.name: settings for settings in services}
    checks = []
    for service in spec.services:
        settings = settings_of[service.name]
        if settings.probe.interval_s <= 0.0:
            continue
        tls: ssl.SSLContext | None = None
        for index, backend in enumerate(service.backends, start=1):
            url = urlsplit(backend.address if "://" in backend.address else f"http://{backend.address}")
            if url.scheme == "https" and tls is None:
                tls = backend_context(settings.backend_tls)
            host = url.hostname or ""
            request = (
                f"GET {settings.probe.path} HTTP/1.1\r\nHost: {settings.host_header or url.netloc}\r\n"
                "User-Agent: swayam-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n"
            )
            checks.append(
                Check(
                    service_name=service.name,
                    backend_index=index,
                    host=host,
                    port=url.port or (443 if url.scheme == "https" else 80),
                    tls=tls if url.scheme == "https" else None,
                    server_name=settings.backend_tls.server_name or host,
                    probe=settings.probe,
                    request=request.encode("latin-1"),
                )
            )
    return checks
