"""backends: what the backends of one service say of themselves; set some up, let one go, by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, config_options, examples, json_option, load_config
from swayam_proxy.cli.simulate import Duration

if TYPE_CHECKING:
    from swayam_proxy.config.schema import Config
    from swayam_proxy.provision.interface import Snapshot
    from swayam_proxy.provision.sidecars import SidecarProvisioner

_LOOK_S = 0.1


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam backends translate                        # state of each, asked from the backends themselves
        swayam backends translate --ensure 3 --wait 1m   # before a rush that no forecast knows of
        swayam backends translate --retire 5             # it drains, and goes cold
        """
    ),
)
@click.argument("service")
@click.option("--ensure", type=click.IntRange(0), default=None, metavar="N", help="Set up 1 to N, if cold.")
@click.option("--retire", type=click.IntRange(1), default=None, metavar="INDEX", help="Let one drain and go.")
@click.option("--wait", "wait_s", type=Duration(), default=0.0, help="With --ensure: until they are warm.")
@json_option
@config_options
def backends(
    config_path: Path,
    assignments: tuple[str, ...],
    service: str,
    ensure: int | None,
    retire: int | None,
    wait_s: float,
    as_json: bool,
) -> int:
    """Ask the backends of a service, which need sidecars, what they are.

    What the proxies want goes on beside it: one that is not wanted goes by itself when it has been idle.
    Exit status 1 when something could not be done, 4 when no backend answers.
    """
    import asyncio

    config = load_config(config_path, assignments).config
    provisioner = _provisioner(config, service)
    count = len(config.backends_of(service))
    if max(ensure or 0, retire or 0) > count:
        raise CommandFailed(f"service {service} has {count} backends", "write at most that", Exit.USAGE)
    done, snapshot = asyncio.run(_run(provisioner, ensure, retire, wait_s))
    if as_json:
        places = [
            {"index": place.index, "address": place.address, "incarnation": place.incarnation}
            | {"state": str(place.state), "is_reachable": place.is_reachable}
            for place in snapshot.places
        ]
        click.echo(json.dumps({"done": done, "backends": places}, indent=2))
    else:
        for place in snapshot.places:
            state = str(place.state) if place.is_reachable else "out of reach"
            click.echo(f"{place.index:4} {place.address:24} {state:12} set-up {place.incarnation}")
    if not any(place.is_reachable for place in snapshot.places):
        raise CommandFailed(
            "no backend answers", "do their sidecars or machines run? is the token right?", Exit.UNREACHABLE
        )
    return Exit.OK if done else Exit.FAILED


def _provisioner(config: Config, name: str) -> SidecarProvisioner:
    from difflib import get_close_matches

    from swayam_proxy.provision.sidecars import SidecarProvisioner

    service = config.services.get(name)
    if service is None:
        close = get_close_matches(name, config.services, n=1)
        todo = f"did you mean {close[0]}?" if close else f"write {' or '.join(config.services)}"
        raise CommandFailed(f"there is no service {name}", todo, Exit.USAGE)
    if service.sidecar is None:
        todo = "only backends with sidecars can be asked; see swayam status"
        raise CommandFailed(f"the backends of {name} have no sidecars", todo, Exit.USAGE)
    token = service.sidecar.token if service.pool is None else config.pools[service.pool].token
    return SidecarProvisioner(
        [backend.address for backend in config.backends_of(name)],
        None if token is None else token.get_secret_value(),
        _LOOK_S,
        service_name=None if service.pool is None else name,
    )


async def _run(
    provisioner: SidecarProvisioner, ensure: int | None, retire: int | None, wait_s: float
) -> tuple[bool, Snapshot]:
    """Do what was asked; return whether that could be done, and what is the case then."""
    await provisioner.start()
    try:
        done = True
        if ensure is not None:
            await provisioner.ensure(ensure)
            done = await _warm_within(provisioner, ensure, wait_s) or not wait_s
        if retire is not None:
            place = provisioner.snapshot().places[retire - 1]
            done = await provisioner.retire(retire, place.incarnation) and done
        return done, provisioner.snapshot()
    finally:
        await provisioner.close()


async def _warm_within(provisioner: SidecarProvisioner, count: int, wait_s: float) -> bool:
    import asyncio

    from swayam_proxy.core.vocabulary import BackendState

    try:
        async with asyncio.timeout(wait_s):
            async for snapshot in provisioner.watch():
                if all(place.state is BackendState.WARM for place in snapshot.places[:count]):
                    return True
    except TimeoutError:
        pass
    return False
