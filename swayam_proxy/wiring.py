"""Turns a configuration into what the rules and the process are told, and puts the process together.

The one module that knows the configuration, the core and the live process at once. Its imports of the live
process stand inside functions, so that `swayam --help` does not wait for numpy and aiohttp.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from swayam_proxy.config.addresses import network, status_range
from swayam_proxy.core.vocabulary import (
    BackendSpec,
    DispatchPolicy,
    FrontendSpec,
    HealthSpec,
    LateBindingSpec,
    QueueSpec,
    RetrySpec,
    RouteSpec,
    ServiceSpec,
    Sla,
)
from swayam_proxy.live.parent import VARIABLE as LAUNCHER_VARIABLE
from swayam_proxy.live.settings import (
    AccessLogSettings,
    AdminSettings,
    BackendTls,
    GossipSettings,
    Limits,
    ListenSettings,
    LiveSettings,
    ProbeSettings,
    ServiceSettings,
    SidecarLinkSettings,
    Timeouts,
    TlsFiles,
)
from swayam_proxy.live.start_failed import StartFailedError

if TYPE_CHECKING:
    from swayam_proxy.config.machines import Server
    from swayam_proxy.config.schema import Config, Gossip
    from swayam_proxy.config.service import Health, Service
    from swayam_proxy.provision.kept import Command
    from swayam_proxy.sidecar.settings import MachineSettings, SidecarSettings
    from swayam_proxy.sim.recorded import Played

__all__ = [
    "LAUNCHER_VARIABLE",
    "StartFailedError",
    "frontend_spec",
    "live_settings",
    "machine_settings",
    "own_frontend_id",
    "replay_decision",
    "replay_recording",
    "run_launcher",
    "run_proxy",
    "run_sidecar",
]

PROBE_PATHS: Final = {
    "plain": "/",
    "v2": "/v2/health/ready",
    "torchserve": "/ping",
    "tf-serving": "/v1/models/{name}",
}
"""What each kind of server answers when it can serve: the open inference protocol (MLServer, Triton, KServe)
at /v2/health/ready, TorchServe at /ping, TensorFlow Serving at the status of the model itself."""


def run_proxy(config: Config, reread: Callable[[], Config] | None = None) -> int:
    """Run one proxy until it is told to stop; returns its exit status.

    `reread` loads the configuration anew; it is called after SIGHUP, and only gossip keys are taken from it.

    Raises:
        StartFailedError: an address cannot be listened on, or a library is missing.
    """
    from swayam_proxy.config.errors import ConfigError
    from swayam_proxy.live.key_change import RereadError
    from swayam_proxy.live.process import serve

    def reread_gossip() -> GossipSettings | None:
        try:
            return None if reread is None else _gossip(reread().peers.gossip)
        except ConfigError as error:
            raise RereadError(str(error)) from None

    process = config.process
    return serve(
        frontend_spec(config, own_frontend_id()),
        live_settings(config),
        loop_name=process.loop,
        log_level=process.log_level,
        log_format=process.log_format,
        reread_gossip=None if reread is None else reread_gossip,
    )


def run_launcher(
    config: Config, commands: Sequence[Sequence[str]], *, shared_port: bool, backends: Sequence[Command] = ()
) -> int:
    """Run one proxy process per command line, start dead ones again, and drain all when told to stop.

    The `backends` run from before the proxies until after them.

    Raises:
        StartFailedError: the address that they shall share is taken, or a backend does not start.
    """
    from contextlib import nullcontext

    from swayam_proxy.live.launcher import launch
    from swayam_proxy.live.log_format import print_event, set_up_logging
    from swayam_proxy.provision.local import LocalBackends

    process = config.process
    set_up_logging(process.log_level, process.log_format)
    with LocalBackends(backends) if backends else nullcontext([]) as addresses:
        if addresses:
            print_event("backends", listen=addresses)
        return launch(
            commands,
            shared=live_settings(config).listen[0] if shared_port else None,
            drain_s=config.timeouts.drain,
            log_level=process.log_level,
            log_format=process.log_format,
        )


def run_sidecar(
    settings: SidecarSettings | MachineSettings, *, loop_name: str, log_level: str, log_format: str
) -> int:
    """Run one sidecar, or those of a machine, until told to stop; returns its exit status.

    Raises:
        StartFailedError: an address cannot be listened on, or a library is missing.
    """
    from swayam_proxy.sidecar.process import serve

    return serve(settings, loop_name=loop_name, log_level=log_level, log_format=log_format)


def machine_settings(
    config: Config, pool_name: str, listen: tuple[str, int], room_count: int | None = None
) -> MachineSettings:
    """Return what the process on one machine of a pool is told; every service there has its `server`."""
    from swayam_proxy.config.addresses import join_host_port
    from swayam_proxy.sidecar.settings import MachineSettings

    host, port = listen
    pool = config.pools[pool_name]
    return MachineSettings(
        services=tuple(
            (name, _sidecar_settings(service.server, service.slots, port))
            for name, service in config.services.items()
            if service.pool == pool_name and service.server is not None
        ),
        room_count=room_count or pool.room_at(join_host_port(host, port)),
        rest_s=pool.rest,
        host=host,
        port=port,
        token=None if pool.token is None else pool.token.get_secret_value(),
    )


def _sidecar_settings(server: Server, slots: int, port: int) -> SidecarSettings:
    from swayam_proxy.sidecar.settings import HealthSettings, LifeSettings, ServerSettings, SidecarSettings

    output_path = None if server.output is None else server.output.replace("{port}", str(port))
    return SidecarSettings(
        server=ServerSettings(tuple(server.command), stop_grace_s=server.stop_grace, output_path=output_path),
        slots=slots,
        lease_s=server.lease,
        life=LifeSettings(server.idle or float("inf"), server.setup_timeout, server.drain),
        health=HealthSettings(server.health, fall_count=server.misses),
    )


def replay_decision(recorded: Mapping[str, Any]) -> list[str]:
    """Make a recorded decision again; return in words where it comes out differently.

    Raises:
        EvidenceError: the record does not hold what the decision was made from (a `ValueError`).
    """
    from swayam_proxy.core.errors import EvidenceError
    from swayam_proxy.core.evidence import differences, judge_again

    if not isinstance(recorded, Mapping) or not isinstance(recorded.get("evidence"), Mapping):
        raise EvidenceError('the record has no "evidence"')
    return differences(recorded, judge_again(recorded["evidence"]))


def _recording_path(name: str) -> str | None:
    """Return a file of its own for each process of a launcher."""
    if name == "off":
        return None
    return f"{name}.{os.getpid()}" if LAUNCHER_VARIABLE in os.environ else name


def replay_recording(lines: Iterable[Any]) -> Played:
    """Play what `process.recording` wrote to a new frontend in virtual time.

    Raises:
        EvidenceError: a line is not one that a recording of this version has (a `ValueError`).
    """
    from swayam_proxy.sim.recorded import play_recording

    return play_recording(lines)


def frontend_spec(config: Config, frontend_id: str) -> FrontendSpec:
    """Return what the rules are told."""
    services = tuple(_service_spec(name, service, config) for name, service in config.services.items())
    return FrontendSpec(frontend_id, services, frontends_count=config.peers.count)


def own_frontend_id() -> str:
    """Return a name for this process that is unique among the frontends at any one time."""
    return f"{socket.gethostname()}-{os.getpid()}"


def live_settings(config: Config) -> LiveSettings:
    """Return what the process is told beside the rules."""
    listen, process = config.listen, config.process
    tls = None if listen.tls is None else TlsFiles(listen.tls.certificate, listen.tls.private_key)
    return LiveSettings(
        listen=(ListenSettings(listen.host, listen.port, listen.reuse_port, tls, listen.backlog),),
        admin=AdminSettings(config.admin.host, config.admin.port),
        services=tuple(_service_settings(name, service, config) for name, service in config.services.items()),
        limits=Limits(**dict(config.limits)),
        timeouts=Timeouts(**{f"{name}_s": value for name, value in config.timeouts}),
        trusted_proxies=tuple(network(text) for text in process.trusted_proxies),
        access_log=AccessLogSettings(None if process.access_log == "off" else process.access_log),
        decision_log_path=None if process.decision_log == "off" else process.decision_log,
        recording_path=_recording_path(process.recording),
        debug_headers=process.debug_headers,
        gossip=_gossip(config.peers.gossip),
    )


def _gossip(gossip: Gossip | None) -> GossipSettings | None:
    if gossip is None:
        return None
    seeds = (seed.rpartition(":") for seed in gossip.seeds)
    return GossipSettings(
        host=gossip.host,
        port=gossip.port,
        advertise=gossip.advertise,
        seeds=tuple((host.strip("[]"), int(port)) for host, _, port in seeds),
        keys=tuple(key.get_secret_value().encode() for key in gossip.keys),
        cluster=gossip.cluster,
        forget_s=gossip.forget,
    )


def _service_spec(name: str, service: Service, config: Config) -> ServiceSpec:
    health, queue, retry, sidecar = service.health, service.queue, service.retry, service.sidecar
    late_binding = LateBindingSpec()
    if sidecar is not None:
        blind_tries_max = min(late_binding.blind_tries_max, sidecar.tries)
        late_binding = LateBindingSpec(sidecar.holds, sidecar.tries, blind_tries_max)
    return ServiceSpec(
        name=name,
        backends=tuple(
            BackendSpec(backend.address, backend.slots or service.slots)
            for backend in config.backends_of(name)
        ),
        sla=Sla(service.sla.response_time, service.sla.level, service.sla.burst),
        routes=tuple(
            RouteSpec(route.path_prefix, route.host, tuple(sorted(route.headers.items())), route.strip_prefix)
            for route in service.routes
        ),
        dispatch=DispatchPolicy(service.dispatch),
        setup_s=service.setup_time,
        execution_s=service.execution_time,
        execution_cv=service.execution_cv,
        prefix_min=service.min,
        prefix_max=service.max,
        observe_only=service.observe_only,
        shrink_hold_s=service.shrink_hold,
        tick_s=service.tick,
        health=HealthSpec(
            rise_count=health.rise,
            fall_count=health.fall,
            eject_after_faults=health.eject_after_faults,
            eject_base_s=health.eject_base,
            eject_max_s=health.eject_max,
            ejected_share_max=health.ejected_share_max,
        ),
        queue=QueueSpec(queue.count_max, queue.wait_max, queue.outstanding_max),
        retry=RetrySpec(retry.attempts_max, retry.budget_ratio),
        late_binding=late_binding,
        set_up_on_demand=sidecar is not None,
        shares_machines=service.pool is not None,
    )


def _service_settings(name: str, service: Service, config: Config) -> ServiceSettings:
    own = {key: value for key, value in service.timeouts if value is not None}
    timeouts = {f"{key}_s": value for key, value in [*config.timeouts, *own.items()]}
    tls = BackendTls() if service.tls is None else BackendTls(service.tls.ca_file, service.tls.server_name)
    return ServiceSettings(
        name=name,
        timeouts=Timeouts(**timeouts),
        request_body_bytes_max=service.limits.request_body_bytes_max or config.limits.request_body_bytes_max,
        probe=_probe(name, service.health),
        backend_tls=tls,
        host_header=service.host_header,
        sidecar=_sidecar(name, service, config),
    )


def _sidecar(name: str, service: Service, config: Config) -> SidecarLinkSettings | None:
    if service.sidecar is None:
        return None
    pool = None if service.pool is None else config.pools[service.pool]
    token = service.sidecar.token if pool is None else pool.token
    return SidecarLinkSettings(
        None if token is None else token.get_secret_value(), service_name=None if pool is None else name
    )


def _probe(name: str, health: Health) -> ProbeSettings:
    if health.preset == "none":
        return ProbeSettings()
    return ProbeSettings(
        path=health.path or PROBE_PATHS[health.preset].format(name=name),
        interval_s=health.interval,
        timeout_s=health.timeout,
        statuses=tuple(status_range(text) for text in health.statuses),
    )
