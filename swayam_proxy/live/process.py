"""One proxy process: puts the live pieces together, runs them, and ends them in order.

Knows signals, the event loop and the order of things: what starts before what, and what ends last. It knows
neither HTTP nor the rules. The end is a drain: the listeners close, work in flight ends, idle connections
close, and only what is still there at the deadline is refused or cut. A second signal ends the process at
once.
"""

import asyncio
import gc
import logging
import random
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from swayam_proxy import __version__
from swayam_proxy.core.commands import RecordDecision
from swayam_proxy.core.events import DrainBegan, Event
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.gossip.view import PeerView
from swayam_proxy.core.vocabulary import BackendState, FrontendSpec
from swayam_proxy.live.access_log import AccessLog
from swayam_proxy.live.admin import AdminServer, AdminSources, address_of
from swayam_proxy.live.data_plane import DataPlane
from swayam_proxy.live.decision_log import DecisionLog
from swayam_proxy.live.driver import Driver
from swayam_proxy.live.gossip_udp import GossipEndpoint
from swayam_proxy.live.key_change import KeyChange, Reread
from swayam_proxy.live.log_format import print_event, set_up_logging
from swayam_proxy.live.meters import LoopLag, Meters
from swayam_proxy.live.metrics import Metrics
from swayam_proxy.live.parent import Parent
from swayam_proxy.live.prober import Prober
from swayam_proxy.live.record_batch import RecordBatch
from swayam_proxy.live.resources import connections_that_fit, keep_freed_memory, raise_descriptor_limit
from swayam_proxy.live.settings import LiveSettings
from swayam_proxy.live.sidecar_link import SidecarLinks, control_name_of
from swayam_proxy.live.start_failed import StartFailedError, cannot_listen

if TYPE_CHECKING:
    from swayam_proxy.live.recording import Recording

logger = logging.getLogger("swayam")

_END_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_LAST_WORD_SHARE: Final = 0.1
"""Of the drain's time: what still waits in the queue by then is refused, so that it gets an answer."""
_SET_UP_LOOK_S: Final = 1.0


def serve(
    spec: FrontendSpec,
    settings: LiveSettings,
    *,
    loop_name: str = "uvloop",
    log_level: str = "info",
    log_format: str = "text",
    reread_gossip: Reread | None = None,
) -> int:
    """Run one proxy until a signal ends it, and return the status: 0 after a drain, 1 when it was hurried.

    `reread_gossip` is called after SIGHUP, for keys that have changed.

    Raises:
        StartFailedError: an address, a file or a library cannot be had.
    """
    set_up_logging(log_level, log_format)
    keep_freed_memory()
    settings = fit_to_descriptors(settings, raise_descriptor_limit())
    with asyncio.Runner(loop_factory=loop_factory(loop_name)) as runner:
        return runner.run(run(spec, settings, reread_gossip))


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop of that name."""
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        todo = 'install it with: pip install uvloop, or write process.loop = "asyncio"'
        raise StartFailedError("uvloop is not installed", todo) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def fit_to_descriptors(settings: LiveSettings, descriptors_count: int) -> LiveSettings:
    """Take no more client connections than there are descriptors for, so that those taken can be served."""
    fitting = connections_that_fit(descriptors_count)
    if settings.limits.connections_max <= fitting:
        return settings
    logger.warning(
        "only %d of limits.connections_max = %d client connections: open files are limited to %d (ulimit -n)",
        fitting,
        settings.limits.connections_max,
        descriptors_count,
    )
    return replace(settings, limits=replace(settings.limits, connections_max=fitting))


async def run(spec: FrontendSpec, settings: LiveSettings, reread_gossip: Reread | None = None) -> int:
    """Start a proxy on the running loop, wait for a signal or the launcher's end, and end it."""
    loop = asyncio.get_running_loop()
    asked_to_end, hurried = asyncio.Event(), asyncio.Event()

    def end() -> None:
        (hurried if asked_to_end.is_set() else asked_to_end).set()

    process = Process(spec, settings, loop, reread_gossip)
    parent = Parent.of_environment()
    try:
        # before it says that it listens: whoever reads that may signal at once
        for signal_number in _END_SIGNALS:
            loop.add_signal_handler(signal_number, end)
        loop.add_signal_handler(signal.SIGHUP, process.hang_up)
        event_line = await process.start()
        if parent is not None:
            parent.say_listening(event_line)
            parent.watch(loop, asked_to_end.set)
        await asked_to_end.wait()
        drain = loop.create_task(process.drain())
        hurry = loop.create_task(hurried.wait())
        await asyncio.wait((drain, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if drain.done():
            drain.result()  # a mistake of ours must show
            return 0
        drain.cancel()
        return 1
    finally:
        await process.stop(hurried=hurried.is_set())
        if parent is not None:
            parent.close(loop)


class Process:
    """The live pieces of one proxy."""

    def __init__(
        self,
        spec: FrontendSpec,
        settings: LiveSettings,
        loop: asyncio.AbstractEventLoop,
        reread_gossip: Reread | None = None,
    ) -> None:
        """Put the pieces together and open the logs; `StartFailedError` when a log cannot be opened."""
        self._settings = settings
        self._loop = loop
        self._state = "starting"
        self._meters = Meters(spec)
        self._lag = LoopLag(time.monotonic())
        self._lines_dropped_before = 0
        self._access_log, self._decision_log = open_logs(settings, spec.frontend_id)
        takers = [self._meters.record] + ([] if self._access_log is None else [self._access_log.record])
        self._records = RecordBatch(*takers)
        self._frontend, self._recording = make_frontend(spec, settings.recording_path)
        rng = random.Random()
        control_name = control_name_of(spec.frontend_id)
        self._links = SidecarLinks(control_name, self._heard, rng)
        self._driver = Driver(
            self._frontend,
            loop,
            on_decision=self._decided,
            on_backend_order=self._links.perform,
        )
        self._data_plane = DataPlane(self._driver, settings, self._records, control_name)
        self._metrics = Metrics(
            spec,
            self._meters,
            self._driver.snapshot,
            clock=time.monotonic,
            version=__version__,
            loop_lag=self._lag,
            lines_dropped=self._lines_dropped,
            decision_time=self._driver.decision_time,
            connections=self._data_plane.snapshot,
            settle=self._records.settle,
            gossip=lambda: None if self._gossip is None else self._gossip.snapshot(),
        )
        sources = AdminSources(
            self._driver.snapshot,
            self._driver.explain,
            self._peers,
            self._metrics,
            self._why_not_ready,
            __version__,
        )
        self._admin = AdminServer(settings.admin, sources)
        self._gossip = self._make_gossip(spec)
        self._key_change: KeyChange | None = None
        if self._gossip is not None and reread_gossip is not None:
            self._key_change = KeyChange(self._gossip, reread_gossip)
        self._on_demand = {service.name for service in spec.services if service.set_up_on_demand}
        self._set_up: tuple[float, frozenset[tuple[str, int]]] = (0.0, frozenset())
        self._prober = Prober(spec, settings.services, self._driver.handle, rng, is_set_up=self._is_set_up)
        self._heartbeat: asyncio.TimerHandle | None = None

    def _make_gossip(self, spec: FrontendSpec) -> GossipEndpoint | None:
        if self._settings.gossip is None:
            return None
        return GossipEndpoint(
            self._settings.gossip,
            spec.frontend_id,
            spec.services,
            frontends_count=spec.frontends_count,
            tell=self._heard,
            measured=lambda name: self._driver.frontend.own_executions(name, time.monotonic()),
            counted=lambda name: self._driver.frontend.own_arrivals(name, time.monotonic()),
        )

    async def start(self) -> str:
        """Listen, and return the line that was printed about it; `StartFailedError` when that cannot be."""
        listen, admin = self._settings.listen[0], self._settings.admin
        try:
            addresses = await self._data_plane.start()
        except ssl.SSLError as error:
            todo = "check listen.tls.certificate and listen.tls.private_key"
            raise StartFailedError(f"the certificate cannot be used: {error.reason or error}", todo) from None
        except OSError as error:
            raise cannot_listen(error, listen.host, listen.port, "listen") from None
        try:
            admin_address = await self._admin.start()
        except OSError as error:
            raise cannot_listen(error, admin.host, admin.port, "admin") from None
        if self._gossip is not None:
            gossip = self._gossip
            assert self._settings.gossip is not None, "or there were no gossip"
            try:
                gossip_address = await gossip.start()
            except OSError as error:
                host, port = self._settings.gossip.host, self._settings.gossip.port
                raise cannot_listen(error, host, port, "peers.gossip") from None
            logger.info("gossiping at %s", gossip_address)
        self._driver.start()
        self._prober.start()
        sidecars = {each.name: each.sidecar for each in self._settings.services}
        for service in self._driver.services:
            if (sidecar := sidecars[service.name]) is not None:
                self._links.start(service.name, [each.address for each in service.backends], sidecar)
        self._beat()
        # what was made until now stays: the collector need not look at it again and again
        gc.collect()
        gc.freeze()
        self._state = "ready"
        return print_event("listening", listen=[address_of(each) for each in addresses], admin=admin_address)

    async def drain(self) -> None:
        """Take no new work and let the rest end, within the time that the configuration allows."""
        self._state = "draining"
        if self._gossip is not None:
            self._gossip.leave()  # what comes from now on comes to the others
        drain_s = self._settings.timeouts.drain_s
        began = self._loop.time()
        self._data_plane.begin_drain()
        logger.info("draining: %d requests in flight", self._data_plane.in_flight_count)
        try:
            async with asyncio.timeout_at(began + drain_s * (1.0 - _LAST_WORD_SHARE)):
                await self._data_plane.wait_drained()
            return
        except TimeoutError:
            self._driver.handle(DrainBegan())
        try:
            async with asyncio.timeout_at(began + drain_s):
                await self._data_plane.wait_drained()
        except TimeoutError:
            logger.warning(
                "cut %d requests after %g s of draining", self._data_plane.in_flight_count, drain_s
            )

    async def stop(self, *, hurried: bool) -> None:
        """Cut what is left and close everything; the logs last."""
        self._state = "stopped"
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        await self._prober.stop()
        if self._key_change is not None:
            await self._key_change.stop()
        if self._gossip is not None:
            await self._gossip.stop()
        await self._data_plane.stop()
        await self._links.stop()
        self._driver.stop()
        await self._admin.stop()
        self._records.settle()
        for log in (self._access_log, self._decision_log, self._recording):
            if log is not None:
                log.writer.stop(0.2 if hurried else 2.0)

    def hang_up(self) -> None:
        """Do what SIGHUP asks for: open the logs again, and take up gossip keys that have changed."""
        self.reopen_logs()
        if self._key_change is not None:
            self._key_change.begin()

    def reopen_logs(self) -> None:
        """Open the log files again by their names, after a rotation."""
        for log in (self._access_log, self._decision_log):
            if log is not None:
                log.writer.reopen()

    def _heard(self, event: Event) -> None:
        self._driver.handle(event)

    def _decided(self, order: RecordDecision) -> None:
        self._metrics.decided(order.decision)
        if self._gossip is not None:
            self._gossip.decided(order.decision)
        if self._decision_log is not None:
            self._decision_log.record(order)

    def _peers(self) -> PeerView | None:
        return None if self._gossip is None else self._gossip.peers()

    def _why_not_ready(self) -> str | None:
        return None if self._state == "ready" else self._state

    def _is_set_up(self, service_name: str, backend_index: int) -> bool:
        if service_name not in self._on_demand:
            return True
        now = time.monotonic()
        looked_at, set_up = self._set_up
        if now - looked_at > _SET_UP_LOOK_S:
            states = (BackendState.WARM, BackendState.LOST)
            set_up = frozenset(
                (service.name, backend.index)
                for service in self._driver.snapshot().services
                for backend in service.backends
                if backend.state in states
            )
            self._set_up = (now, set_up)
        return (service_name, backend_index) in set_up

    def _lines_dropped(self) -> dict[str, int]:
        logs = {"access": self._access_log, "decision": self._decision_log}
        return {name: log.writer.dropped_count for name, log in logs.items() if log is not None}

    def _beat(self) -> None:
        self._lag.beat(time.monotonic())
        self._records.settle()
        dropped = sum(self._lines_dropped().values())
        if dropped >= 2 * self._lines_dropped_before + 1:  # said again only when it has doubled
            logger.warning("%d log lines lost: a log cannot be written fast enough, or at all", dropped)
            self._lines_dropped_before = dropped
        self._heartbeat = self._loop.call_later(self._lag.interval_s, self._beat)


def make_frontend(spec: FrontendSpec, recording_path: str | None) -> "tuple[Frontend, Recording | None]":
    """Return the rules, and the recording of their calls where one is wanted.

    Raises:
        StartFailedError: the recording's file cannot be written.
    """
    if recording_path is None:
        return Frontend(spec, random.Random(), time.monotonic()), None
    from swayam_proxy.live.recording import Recording, RecordingFrontend

    try:
        recording = Recording(recording_path)
    except OSError as error:
        todo = "choose another file for process.recording, or make this one writable"
        raise StartFailedError(f"cannot write {recording_path}: {error.strerror}", todo) from None
    seed = random.SystemRandom().getrandbits(64)
    return RecordingFrontend(spec, seed, time.monotonic, recording, __version__), recording


def open_logs(settings: LiveSettings, frontend_id: str) -> tuple[AccessLog | None, DecisionLog | None]:
    """Open the logs that are wanted.

    Raises:
        StartFailedError: a file cannot be written.
    """
    access_log: AccessLog | None = None
    decision_log: DecisionLog | None = None
    path, key = settings.access_log.path, "access_log"
    try:
        if path is not None:
            access_log = AccessLog(path, frontend_id)
        path, key = settings.decision_log_path, "decision_log"
        if path is not None:
            decision_log = DecisionLog(path, frontend_id, __version__)
    except OSError as error:
        if access_log is not None:
            access_log.writer.stop()
        todo = f"choose another file for process.{key}, or make this one writable"
        raise StartFailedError(f"cannot write {path}: {error.strerror}", todo) from None
    return access_log, decision_log
