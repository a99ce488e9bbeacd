"""What pools, services and the ways to start their servers must not say together.

Part of `checks`: where backends come from, who may share an address, and whether every service of a pool can
have its least number at the same time.
"""

from collections.abc import Iterator
from difflib import get_close_matches

from swayam_proxy.config.errors import KeyPath, key_text
from swayam_proxy.config.findings import Finding
from swayam_proxy.config.machines import Pool
from swayam_proxy.config.schema import Config
from swayam_proxy.config.service import Service

_IDLE_S_MIN = 5.0


def pool_findings(config: Config) -> Iterator[Finding]:
    """Yield everything that is wrong about pools and about what stands on their machines."""
    for name, service in config.services.items():
        yield from _origin(("services", name), service, config)
        yield from _server(("services", name), service)
    for name, pool in config.pools.items():
        yield from _machines(("pools", name), pool)
        yield from _users(name, pool, config)
    yield from _shared_sidecars(config)


def _origin(key: KeyPath, service: Service, config: Config) -> Iterator[Finding]:
    """Find services whose backends come from nowhere, from two sides, or from a pool that is not there."""
    here, backends = (*key, "pool"), (*key, "backends")
    if service.pool is None:
        if not service.backends:
            todo = 'write backends = ["127.0.0.1:9001"], or pool = "NAME" with a table [pools.NAME]'
            yield Finding((backends, here), "has 0 entries, but needs at least 1", todo)
        return
    if service.backends:
        todo = "take one of the two out: the machines of the pool are the backends"
        yield Finding((here, backends), "is given beside backends", todo)
    if service.pool not in config.pools:
        close = get_close_matches(service.pool, config.pools, n=1)
        todo = (
            f'did you mean "{close[0]}"?' if close else f"add a table [{key_text(('pools', service.pool))}]"
        )
        yield Finding((here, ("pools",)), f'is "{service.pool}", which is no pool', todo)
    if service.sidecar is not None and service.sidecar.token is not None:
        todo = f"write it as {key_text(('pools', service.pool, 'token'))}"
        yield Finding(((*key, "sidecar", "token"), here), "is given, but machines belong to a pool", todo)


def _machines(key: KeyPath, pool: Pool) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, machine in enumerate(pool.machines):
        place: KeyPath = (*key, "machines", index)
        if machine.address.startswith("https://"):
            what = f'is "{machine.address}", but machines are spoken to without TLS'
            yield Finding((place,), what, "write it as host:port")
        if machine.address in first:
            what = f'is "{machine.address}", as entry {first[machine.address] + 1} is already'
            yield Finding((place, (*key, "machines", first[machine.address])), what, "name each machine once")
        first.setdefault(machine.address, index)


def _users(name: str, pool: Pool, config: Config) -> Iterator[Finding]:
    """Find pools that are too small for the least numbers of their services, and such as nobody uses."""
    key: KeyPath = ("pools", name)
    users = {each: service for each, service in config.services.items() if service.pool == name}
    if not users:
        todo = f'write pool = "{name}" in a service, or take the table out'
        yield Finding((key, ("services",)), "is used by no service", todo, is_doubt=True)
        return
    rooms = sorted(pool.rooms().values())
    least = {each: service.min for each, service in users.items()}
    mins: tuple[KeyPath, ...] = tuple(("services", each, "min") for each in users)
    total = sum(least.values())
    if total > sum(rooms):
        what = f"has room for {sum(rooms)} services in all, but the min of its services add up to {total}"
        yield Finding((key, (*key, "machines"), *mins), what, "add machines or room, or write a smaller min")
        return
    for each, wanted in least.items():
        others = total - wanted
        blocked_count = 0
        for room in rooms:  # at worst the others fill the smallest machines
            others -= room
            blocked_count += others >= 0
        if len(rooms) - blocked_count < wanted:
            what = f"is {wanted}, but the others of [pools.{name}] can fill {blocked_count} of its machines"
            todo = "add a machine, or write a smaller min: a service has one backend on each machine at most"
            yield Finding((("services", each, "min"), key, *mins), what, todo, is_doubt=True)


def _shared_sidecars(config: Config) -> Iterator[Finding]:
    """Find addresses at which two services expect a sidecar: one of the two would be served by the other."""
    owners: dict[str, tuple[str, KeyPath]] = {}
    for name, pool in config.pools.items():
        for index, machine in enumerate(pool.machines):
            place: KeyPath = ("pools", name, "machines", index)
            yield from _claim(owners, machine.address, f"pool {name}", place)
    for name, service in config.services.items():
        for index, backend in enumerate(service.backends):
            if service.sidecar is not None or backend.address in owners:
                place = ("services", name, "backends", index)
                yield from _claim(owners, backend.address, f"service {name}", place)


def _claim(
    owners: dict[str, tuple[str, KeyPath]], address: str, owner: str, place: KeyPath
) -> Iterator[Finding]:
    other = owners.setdefault(address, (owner, place))
    if other[0] == owner:
        return
    what = f'is "{address}", which {other[0]} already has; a sidecar stands before one service only'
    todo = "give each its own, or put them on a pool, whose machines serve several"
    yield Finding((place, other[1]), what, todo)


def _server(key: KeyPath, service: Service) -> Iterator[Finding]:
    server, here = service.server, (*key, "server")
    if server is None:
        return
    if not any("{port}" in word for word in server.command):
        what = "does not say {port}, the port at which the server shall listen"
        todo = "write {port} where the command takes it, unless it reads SWAYAM_SERVER_PORT"
        yield Finding(((*here, "command"),), what, todo, is_doubt=True)
    if 0.0 < server.idle < _IDLE_S_MIN:
        todo = 'write "5s" or more: frontends order anew every two seconds what they want but do not call'
        yield Finding(
            ((*here, "idle"),), "is too short for what is idle and wanted to stay", todo, is_doubt=True
        )
    if server.output is not None and service.sidecar is None:
        todo = "take it out, or add the table sidecar: only sidecars keep what their server prints"
        yield Finding(((*here, "output"), (*key, "sidecar")), "is given, but there is no sidecar", todo)
    if any(backend.address.startswith("https://") for backend in service.backends):
        todo = "write its backends as host:port, or start them yourself"
        yield Finding((here, (*key, "backends")), "is given, but servers are started without TLS", todo)
