"""The model server as the sidecar's lifecycle orders it about: started and checked until it is healthy,
watched, stopped.

Carries out one order at a time, each after the one before it has been cleaned up, and tells what happened.
Knows processes and health checks; decides nothing.
"""

import asyncio
import logging
from typing import Protocol

from swayam_proxy.live.prober import Check, ask
from swayam_proxy.live.settings import ProbeSettings
from swayam_proxy.sidecar.child import Child, free_port
from swayam_proxy.sidecar.lifecycle import Order
from swayam_proxy.sidecar.output import BoundedOutput
from swayam_proxy.sidecar.settings import HealthSettings, ServerSettings

_log = logging.getLogger("swayam.sidecar")


class Watcher(Protocol):
    """Whoever wants to know what becomes of the server."""

    def server_started(self, host: str, port: int) -> None:
        """It is being started, and will listen there."""

    def server_healthy(self) -> None:
        """It answers its checks."""

    def server_unreachable(self, *, has_ended: bool) -> None:
        """It has ended, or takes no connection."""

    def may_hang(self, since: float) -> bool:
        """Say whether nothing was served since then, and nothing runs that was begun before."""

    def server_stopped(self) -> None:
        """It was ordered to stop, and has."""


class ModelServer:
    """The one model server."""

    def __init__(self, server: ServerSettings, health: HealthSettings, output: BoundedOutput) -> None:
        """Prepare; nothing is started before an order says so."""
        self._server = server
        self._health = health
        self._output = output
        self._port = server.port
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self.watcher: Watcher

    def perform(self, order: Order) -> None:
        """Begin to carry out an order; it replaces the one before it."""
        self._task = asyncio.get_running_loop().create_task(self._after(self._task, order))

    async def close(self, grace_s: float) -> None:
        """End the server and everything that is done about it."""
        await _cancelled(self._task)
        await self._end_child(grace_s)

    async def _after(self, earlier: asyncio.Task[None] | None, order: Order) -> None:
        await _cancelled(earlier)
        match order:
            case Order.START:
                await self._start()
            case Order.CHECK:
                await self._wait_healthy_and_watch()
            case Order.STOP:
                await self._end_child(self._server.stop_grace_s)
                self.watcher.server_stopped()
            case Order.KILL:
                await self._end_child(0.0)
                self.watcher.server_stopped()

    async def _start(self) -> None:
        server = self._server
        await self._end_child(0.0)
        if server.command:
            self._port = server.port or free_port(server.host)
            words = {"{port}": str(self._port), "{host}": server.host}
            command = tuple(_filled(word, words) for word in server.command)
            environment = {"SWAYAM_SERVER_HOST": server.host, "SWAYAM_SERVER_PORT": str(self._port)}
            starting = asyncio.get_running_loop().create_task(Child.start(command, environment, self._output))
            try:
                self._child = await asyncio.shield(starting)
            except asyncio.CancelledError:
                self._child = await starting  # a moment; a child that nobody knows of could not be ended
                raise
            except OSError as error:
                _log.error("the model server cannot be started: %s", error.strerror)
                self.watcher.server_unreachable(has_ended=True)
                return
        self.watcher.server_started(server.host, self._port)
        await self._wait_healthy_and_watch()

    async def _wait_healthy_and_watch(self) -> None:
        """Tell when the server is healthy, then when it is so no longer."""
        loop = asyncio.get_running_loop()
        child = self._child
        ended = loop.create_task(child.ended() if child is not None else _never())
        try:
            checking = loop.create_task(self._wait_healthy())
            try:
                await asyncio.wait((ended, checking), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancelled(checking)
            if not ended.done():
                self.watcher.server_healthy()
                watching = loop.create_task(self._wait_unhealthy())
                try:
                    await asyncio.wait((ended, watching), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await _cancelled(watching)
                if not ended.done():
                    await self._give_up(child)
                    return
            self._child = None
            _log.error(
                "the model server ended by itself with status %d; its last words:\n%s",
                ended.result(),
                self._output.tail(),
            )
            self.watcher.server_unreachable(has_ended=True)
        finally:
            await _cancelled(ended)

    async def _wait_healthy(self) -> None:
        while not await self._is_healthy():  # noqa: ASYNC110 - it is asked, it does not tell
            await asyncio.sleep(self._health.interval_s)

    async def _wait_unhealthy(self) -> None:
        """Return when a server that was healthy hangs: no check in a row was answered, nor a request.

        A server may be too busy with a request to answer a check: those are not counted.
        """
        loop = asyncio.get_running_loop()
        health = self._health
        if not health.fall_count:
            await _never()
        failures_count = 0
        while failures_count < health.fall_count:
            since = loop.time()
            await asyncio.sleep(health.watch_interval_s)
            hangs = not await self._is_healthy() and self.watcher.may_hang(since)
            failures_count = failures_count + 1 if hangs else 0

    async def _give_up(self, child: Child | None) -> None:
        """End a server that hangs; one that somebody else runs may come again by itself."""
        count = self._health.fall_count
        _log.error("the model server hangs: %d health checks in a row were not answered", count)
        if child is not None:
            await self._end_child(0.0)
        self.watcher.server_unreachable(has_ended=child is not None)

    async def _is_healthy(self) -> bool:
        health, host = self._health, self._server.host
        authority = f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
        request = f"GET {health.path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
        probe = ProbeSettings(health.path, health.interval_s, health.timeout_s)
        check = Check("model", 1, host, self._port, None, None, probe, request.encode("latin-1"))
        status = await ask(check)
        return status is not None and 200 <= status <= 299

    async def _end_child(self, grace_s: float) -> None:
        if self._child is not None:
            await self._child.end(grace_s)
            self._child = None


def _filled(word: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


async def _never() -> int:
    never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await never


async def _cancelled(task: asyncio.Task[None] | asyncio.Task[int] | None) -> None:
    """Cancel a task and wait until it has ended; a mistake in it is reported, not swallowed."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "mistake while minding the model server", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
