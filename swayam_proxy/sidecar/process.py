"""One sidecar process, before one model server or those of a machine: puts the pieces together, runs them,
and ends them in order.

Knows signals and the order of things. The end is a decommission: frontends are told first, requests that run
may end, the model server is stopped, and then nobody listens any more.
"""

import asyncio
import signal
import time
from ipaddress import ip_network

from swayam_proxy.live.log_format import print_event, set_up_logging
from swayam_proxy.live.parent import Parent
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.resources import keep_freed_memory, raise_descriptor_limit
from swayam_proxy.live.settings import (
    AdminSettings,
    Limits,
    ListenSettings,
    LiveSettings,
    ServiceSettings,
    Timeouts,
)
from swayam_proxy.live.start_failed import StartFailedError, cannot_listen
from swayam_proxy.sidecar.control_api import BODY_BYTES_MAX
from swayam_proxy.sidecar.driver import SidecarDriver
from swayam_proxy.sidecar.exchange import SidecarDataPlane
from swayam_proxy.sidecar.machine import MachineDriver
from swayam_proxy.sidecar.model_server import ModelServer
from swayam_proxy.sidecar.output import BoundedOutput
from swayam_proxy.sidecar.served import CONTROL, MODEL
from swayam_proxy.sidecar.settings import MachineSettings, SidecarSettings

_MODEL_BODY_BYTES_MAX = 1024**3
"""Frontends have their own, tighter bounds, and nothing is kept here."""
_PATIENCE_S = 3600.0
"""Frontends have their own, tighter limits; what they give up is noticed by their leaving."""
_LAST_ANSWERS_S = 1.0
_TIMEOUTS = Timeouts(
    response_head_s=_PATIENCE_S, response_idle_s=_PATIENCE_S, total_s=_PATIENCE_S, keep_alive_s=600.0
)
_END_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(
    settings: SidecarSettings | MachineSettings,
    *,
    loop_name: str = "uvloop",
    log_level: str = "info",
    log_format: str = "text",
) -> int:
    """Run one sidecar until a signal ends it, and return the status: 0, or 1 when it was hurried.

    Raises:
        StartFailedError: an address, a file or a library cannot be had.
    """
    set_up_logging(log_level, log_format)
    keep_freed_memory()
    raise_descriptor_limit()
    factory = asyncio.new_event_loop
    if loop_name == "uvloop":
        try:
            import uvloop

            factory = uvloop.new_event_loop
        except ImportError:
            raise StartFailedError("uvloop is not installed", "install it, or write --loop asyncio") from None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(run(settings))


async def run(settings: SidecarSettings | MachineSettings) -> int:
    """Start a sidecar on the running loop, wait for a signal or its parent's end, and end it."""
    loop = asyncio.get_running_loop()
    asked_to_end, hurried = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (hurried if asked_to_end.is_set() else asked_to_end).set()

    sidecar = Sidecar(settings, loop)
    parent = Parent.of_environment()
    try:
        for number in _END_SIGNALS:
            loop.add_signal_handler(number, end)
        line = await sidecar.start()
        if parent is not None:
            parent.say_listening(line)
            parent.watch(loop, asked_to_end.set)
        await asked_to_end.wait()
        drain = loop.create_task(sidecar.drain())
        hurry = loop.create_task(hurried.wait())
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if drain.done():
            drain.result()  # a mistake of ours must show
            return 0
        drain.cancel()
        return 1
    finally:
        await sidecar.stop()
        if parent is not None:
            parent.close(loop)


class Sidecar:
    """The live pieces of one process, before one model server or the several of a machine."""

    def __init__(self, settings: SidecarSettings | MachineSettings, loop: asyncio.AbstractEventLoop) -> None:
        """Put the pieces together; `StartFailedError` when an output file cannot be opened."""
        self._settings = settings
        self._outputs: list[BoundedOutput] = []
        self._servers: list[ModelServer] = []
        self._warm_count = 0
        self._cold = asyncio.Event()
        self.driver: SidecarDriver | MachineDriver
        if isinstance(settings, SidecarSettings):
            server = self._model_server(settings)
            self.driver = SidecarDriver(settings, loop, time.monotonic, server.perform)
            self._join(self.driver, server)
        else:
            self.driver = machine = MachineDriver(
                settings.room_count, settings.rest_s, settings.token, time.monotonic
            )
            for name, each in settings.services:
                server = self._model_server(each)
                seat = machine.seat(name, server.perform)
                sidecar = SidecarDriver(each, loop, time.monotonic, seat.perform, name=name, room=seat)
                machine.add(sidecar)
                self._join(sidecar, server)
        self._data_plane = SidecarDataPlane(self.driver, live_settings(settings), self)

    def _model_server(self, settings: SidecarSettings) -> ModelServer:
        path = settings.server.output_path
        try:
            output = BoundedOutput(path)
        except OSError as error:
            todo = "choose another file for its output, or make this one writable"
            raise StartFailedError(f"cannot write {path}: {error.strerror}", todo) from None
        self._outputs.append(output)
        self._servers.append(server := ModelServer(settings.server, settings.health, output))
        return server

    def _join(self, sidecar: SidecarDriver, server: ModelServer) -> None:
        server.watcher = sidecar
        sidecar.on_cold = self._one_cold
        sidecar.on_moved = lambda address: self._data_plane.forget_backend(sidecar.name, address)
        self._warm_count += 1

    def _one_cold(self) -> None:
        self._warm_count -= 1
        if not self._warm_count:
            self._cold.set()

    def record(self, request: RequestRecord) -> None:
        """Requests are counted by the driver and logged by the frontends."""

    async def start(self) -> str:
        """Listen, and return the line that was printed about it; `StartFailedError` when that cannot be."""
        try:
            addresses = await self._data_plane.start()
        except OSError as error:
            raise cannot_listen(error, self._settings.host, self._settings.port, "--listen") from None
        self.driver.start()
        return print_event("listening", listen=[_text_of(address) for address in addresses])

    async def drain(self) -> None:
        """Decommission, still answering that there is no slot; then listen no more."""
        self.driver.end()
        await self._cold.wait()
        self._data_plane.begin_drain()
        try:
            async with asyncio.timeout(_LAST_ANSWERS_S):
                await self._data_plane.wait_drained()
        except TimeoutError:
            return  # what is left is cut by `stop`

    async def stop(self) -> None:
        """End whatever is left, the model servers above all."""
        self.driver.stop()
        await asyncio.gather(*(server.close(0.0) for server in self._servers))
        await self._data_plane.stop()
        for output in self._outputs:
            output.close()


def live_settings(settings: SidecarSettings | MachineSettings) -> LiveSettings:
    """Return what the data plane is told: frontends are trusted in what they say of their clients."""
    served = settings.services if isinstance(settings, MachineSettings) else ((MODEL, settings),)
    services = [ServiceSettings(name, _TIMEOUTS, _MODEL_BODY_BYTES_MAX) for name, _ in served]
    slots_max = max(each.slots for _, each in served)
    return LiveSettings(
        listen=(ListenSettings(settings.host, settings.port),),
        admin=AdminSettings(),
        services=(*services, ServiceSettings(CONTROL, Timeouts(), BODY_BYTES_MAX)),
        limits=Limits(idle_connections_per_backend_max=max(64, slots_max)),
        timeouts=_TIMEOUTS,
        trusted_proxies=(ip_network("0.0.0.0/0"), ip_network("::/0")),
    )


def _text_of(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
