"""What `launch --backends` runs beside the proxies: from a configuration to command lines; starts nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swayam_proxy.cli.failure import CommandFailed, Exit

if TYPE_CHECKING:
    from swayam_proxy.config.machines import Server
    from swayam_proxy.config.schema import Config
    from swayam_proxy.config.service import Backend, Service
    from swayam_proxy.provision.kept import Command


def backend_commands(config: Config, config_path: Path, assignments: Sequence[str]) -> list[Command]:
    """Return what runs each backend that is on this machine and whose start is described.

    Raises:
        CommandFailed: there is none, or the services of a pool are described in part only.
    """
    commands = list(_machines(config, config_path, assignments))
    for name, service in config.services.items():
        if service.server is None or service.pool is not None:
            continue
        for backend in service.backends:
            if _is_here(backend.address):
                run = _plain if service.sidecar is None else _sidecar
                commands.append(run(name, service, service.server, backend))
    if not commands:
        todo = "add a table [services.NAME.server] to a service with backends on 127.0.0.1"
        raise CommandFailed("--backends: there is nothing on this machine to run", todo, Exit.USAGE)
    return commands


def _machines(config: Config, config_path: Path, assignments: Sequence[str]) -> Iterator[Command]:
    from swayam_proxy.provision.kept import Command

    for pool_name, pool in config.pools.items():
        users = {name: each for name, each in config.services.items() if each.pool == pool_name}
        undescribed = [name for name, each in users.items() if each.server is None]
        if undescribed == list(users):
            continue
        if undescribed:
            todo = f"add a table [services.{undescribed[0]}.server]"
            what = f"--backends: pool {pool_name}: how service {undescribed[0]} is started is not said"
            raise CommandFailed(what, todo, Exit.USAGE)
        own = ["--pool", pool_name, "--config", str(config_path)]
        own += [word for assignment in assignments for word in ("--set", assignment)]
        for machine in pool.machines:
            if _is_here(machine.address):
                words = (*own, "--room", str(pool.room_at(machine.address)))
                yield Command(f"machine {machine.address}", words, machine.address, subcommand="machine")


def _sidecar(name: str, service: Service, server: Server, backend: Backend) -> Command:
    from swayam_proxy.config.quantities import format_duration
    from swayam_proxy.provision.kept import Command

    port = backend.address.rpartition(":")[2]
    options = {
        "--slots": str(backend.slots or service.slots),
        "--health": server.health,
        "--misses": str(server.misses),
        "--idle": format_duration(server.idle),
        "--setup-timeout": format_duration(server.setup_timeout),
        "--drain": format_duration(server.drain),
        "--stop-grace": format_duration(server.stop_grace),
        "--lease": format_duration(server.lease),
    }
    if server.output is not None:
        options["--output"] = server.output.replace("{port}", port)
    words = [word for option in options.items() for word in option]
    assert service.sidecar is not None, "the caller has looked"
    token = service.sidecar.token
    return Command(
        f"the sidecar of {name} at {backend.address}",
        (*words, "--", *server.command),
        backend.address,
        environment={} if token is None else {"SWAYAM_SIDECAR_TOKEN": token.get_secret_value()},
    )


def _plain(name: str, service: Service, server: Server, backend: Backend) -> Command:
    """Return what runs a model server itself, behind a warden, so that it does not outlive us."""
    from swayam_proxy.provision.kept import Command
    from swayam_proxy.sidecar.child import WARDEN

    del service
    host, _, port = backend.address.rpartition(":")
    command = [word.replace("{port}", port).replace("{host}", host) for word in server.command]
    return Command(
        f"the server of {name} at {backend.address}",
        (sys.executable, "-I", "-S", str(WARDEN), *command),
        backend.address,
        environment={"SWAYAM_SERVER_HOST": host, "SWAYAM_SERVER_PORT": port},
        subcommand="",
        stop_grace_s=server.stop_grace,
    )


def _is_here(address: str) -> bool:
    from swayam_proxy.config.addresses import is_loopback

    return is_loopback(address.removeprefix("https://").rpartition(":")[0].strip("[]"))
