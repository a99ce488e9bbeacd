"""What two keys must not say together: contradictions that refuse to start, and doubts that are only told.

Knows nothing of where a value was written. Each finding names every key it looked at, so that one about a
key which was wrong by itself is dropped.
"""

from collections.abc import Iterable, Iterator

from swayam_proxy.config.addresses import is_loopback, join_host_port
from swayam_proxy.config.errors import KeyPath, key_text
from swayam_proxy.config.findings import Finding
from swayam_proxy.config.pool_checks import pool_findings
from swayam_proxy.config.quantities import format_duration
from swayam_proxy.config.schema import Config
from swayam_proxy.config.service import BACKENDS_COUNT_MAX, Route, Service

_WILDCARDS = ("0.0.0.0", "::")


def findings(config: Config) -> Iterator[Finding]:
    """Yield everything that the keys of `config` say against one another."""
    if not config.services:
        todo = "add a table [services.NAME] with backends and sla, as in config.example.toml"
        yield Finding((("services",),), "has no service", todo)
    yield from _addresses(config)
    yield from _gossip(config)
    yield from _logs(config)
    yield from _routes(config)
    yield from pool_findings(config)
    for name, service in config.services.items():
        key: KeyPath = ("services", name)
        yield from _backends(key, service, config)
        yield from _prefix(key, service, config)
        yield from _promise(key, service, config)
        yield from _health(key, service)
        yield from _sidecar(key, service)


def _addresses(config: Config) -> Iterator[Finding]:
    admin, listen = config.admin, config.listen
    if not admin.allow_remote and not is_loopback(admin.host):
        todo = 'write host = "127.0.0.1", or allow_remote = true where the network is trusted'
        what = f'is "{admin.host}", which other machines can reach'
        yield Finding((("admin", "host"), ("admin", "allow_remote")), what, todo)
    overlap = admin.host == listen.host or admin.host in _WILDCARDS or listen.host in _WILDCARDS
    if admin.port and admin.port == listen.port and overlap:
        keys: tuple[KeyPath, ...] = (
            ("admin", "port"),
            ("listen", "port"),
            ("admin", "host"),
            ("listen", "host"),
        )
        yield Finding(keys, f"is {admin.port}, the same as listen.port", "give the two different ports")


def _gossip(config: Config) -> Iterator[Finding]:
    gossip = config.peers.gossip
    if gossip is None:
        return
    key: KeyPath = ("peers", "gossip")
    if not gossip.keys and not is_loopback(gossip.host):
        todo = "add keys, the same at all frontends, or gossip on loopback"
        what = f'is "{gossip.host}", which other machines can reach, and there is no key'
        yield Finding(((*key, "host"), (*key, "keys")), what, todo)
    if gossip.host in _WILDCARDS and gossip.advertise is None:
        todo = f"write {key_text((*key, 'advertise'))}, the IP address at which others reach this frontend"
        yield Finding(((*key, "host"), (*key, "advertise")), f'is "{gossip.host}", which is no address', todo)
    keys = [secret.get_secret_value() for secret in gossip.keys]
    if len(set(keys)) != len(keys):
        yield Finding(((*key, "keys"),), "has the same key twice", "give each key once, the newest first")


def _logs(config: Config) -> Iterator[Finding]:
    process = config.process
    if process.decision_log == process.access_log and process.access_log != "off":
        keys: tuple[KeyPath, ...] = (("process", "decision_log"), ("process", "access_log"))
        yield Finding(keys, f'is "{process.access_log}", the same as access_log', "give each its own file")
    elif process.decision_log == "-":
        yield Finding((("process", "decision_log"),), 'is "-"', 'name a file, or write "off"')
    if process.recording == "-":
        yield Finding((("process", "recording"),), 'is "-"', 'name a file, or write "off"')
    elif process.recording in (process.access_log, process.decision_log) and process.recording != "off":
        yield Finding((("process", "recording"),), "is the same as another log", "give each its own file")


def _routes(config: Config) -> Iterator[Finding]:
    """Find routes that two services, or one service twice, claim."""
    owners: dict[object, tuple[str, KeyPath]] = {}
    for name, service in config.services.items():
        for index, route in enumerate(service.routes):
            key: KeyPath = ("services", name, "routes", index)
            claim = (route.host, route.path_prefix.rstrip("/"), tuple(sorted(route.headers.items())))
            if claim not in owners:
                owners[claim] = (name, key)
                continue
            owner, other = owners[claim]
            whose = "this service already has" if owner == name else f'service "{owner}" already has'
            todo = "give each service its own path_prefix, host or headers"
            yield Finding((key, other), f"is {_route_text(route)}, which {whose}", todo)


def _route_text(route: Route) -> str:
    text = f'path_prefix = "{route.path_prefix}"'
    if route.host:
        text += f', host = "{route.host}"'
    if route.headers:
        text += f", headers for {', '.join(sorted(route.headers))}"
    return text


def _backends(key: KeyPath, service: Service, config: Config) -> Iterator[Finding]:
    first: dict[str, int] = {}
    own = {
        join_host_port(host, config.listen.port) for host in {config.listen.host, "127.0.0.1", "localhost"}
    }
    for index, backend in enumerate(service.backends):
        place: KeyPath = (*key, "backends", index)
        bare = backend.address.removeprefix("https://")
        if bare in first:
            what = f'is "{backend.address}", as entry {first[bare] + 1} is already'
            todo = "name each backend once; for more requests at a time raise its slots"
            yield Finding((place, (*key, "backends", first[bare])), what, todo)
        first.setdefault(bare, index)
        if config.listen.port and bare in own:
            what = f'is "{backend.address}", where this proxy itself listens'
            yield Finding(
                (place, ("listen", "port"), ("listen", "host")), what, "name the model server's address"
            )
    if service.tls is not None and not any(b.address.startswith("https://") for b in service.backends):
        todo = "write its backends as https://host:port, or take the table tls out"
        yield Finding(
            ((*key, "tls"), (*key, "backends")), "is given, but no backend is spoken to by https", todo
        )


def _prefix(key: KeyPath, service: Service, config: Config) -> Iterator[Finding]:
    low, high, backends = (*key, "min"), (*key, "max"), (*key, "backends")
    count = len(service.backends)
    if service.pool is not None:
        pool = config.pools.get(service.pool)
        count = BACKENDS_COUNT_MAX if pool is None else len(pool.machines)
        backends = ("pools", service.pool, "machines")
    if service.max is not None and service.max > count:
        todo = f"write at most {count}, or leave it out to use the whole list"
        yield Finding((high, backends), f"is {service.max}, but there {_backends_text(count)}", todo)
    if service.max is not None and service.min > service.max:
        todo = "write a min that is at most max"
        yield Finding((low, high), f"is {service.min}, which is more than max = {service.max}", todo)
    elif service.min > count:
        todo = f"write at most {count}, or add backends"
        yield Finding((low, backends), f"is {service.min}, but there {_backends_text(count)}", todo)
    if service.shrink_hold < service.tick:
        what = f"is {_quote(service.shrink_hold)}, shorter than tick = {_quote(service.tick)}"
        todo = "write a shrink_hold of several ticks, such as " + _quote(30 * service.tick)
        yield Finding(((*key, "shrink_hold"), (*key, "tick")), what, todo)


def _backends_text(count: int) -> str:
    return "is 1 backend" if count == 1 else f"are {count} backends"


def _promise(key: KeyPath, service: Service, config: Config) -> Iterator[Finding]:
    threshold, promise = service.sla.response_time, (*key, "sla", "response_time")
    if threshold < service.execution_time:
        what = f"is {_quote(threshold)}, shorter than execution_time = {_quote(service.execution_time)}"
        todo = "no number of backends can keep this promise unless requests run faster than that"
        yield Finding((promise, (*key, "execution_time")), what, todo, is_doubt=True)
    for name in ("response_head", "total"):
        own = getattr(service.timeouts, name)
        allowed = own if own is not None else getattr(config.timeouts, name)
        if threshold > allowed:
            place: KeyPath = (*key, "timeouts", name) if own is not None else ("timeouts", name)
            what = f"is {_quote(threshold)}, longer than {key_text(place)} = {_quote(allowed)}"
            raised = key_text((*key, "timeouts", name))
            todo = f"raise {raised}: it cuts off answers that keep the promise"
            yield Finding((promise, place), what, todo)


def _health(key: KeyPath, service: Service) -> Iterator[Finding]:
    health, table = service.health, (*key, "health")
    if health.preset == "none" and health.path is not None:
        todo = 'write preset = "plain" to have it checked, or take path out'
        yield Finding(
            ((*table, "path"), (*table, "preset")), 'is given, but preset = "none" checks nothing', todo
        )
    if health.timeout > health.interval:
        what = f"is {_quote(health.timeout)}, longer than interval = {_quote(health.interval)}"
        todo = "write a timeout that ends before the next check begins"
        yield Finding(((*table, "timeout"), (*table, "interval")), what, todo)
    if health.eject_base > health.eject_max:
        what = f"is {_quote(health.eject_base)}, longer than eject_max = {_quote(health.eject_max)}"
        yield Finding(
            ((*table, "eject_base"), (*table, "eject_max")), what, "write an eject_max that is longer"
        )


def _sidecar(key: KeyPath, service: Service) -> Iterator[Finding]:
    table: KeyPath = (*key, "sidecar")
    if service.sidecar is None:
        if service.dispatch == "late-binding":
            todo = f"write another one, or add the table [{key_text(table)}] if its backends have sidecars"
            yield Finding(((*key, "dispatch"), table), 'is "late-binding", which needs sidecars', todo)
        if service.min == 0:
            todo = "write at least 1: only a sidecar can set up again what was let go"
            yield Finding(((*key, "min"), table), "is 0, but its backends have no sidecars", todo)
        return
    for index, backend in enumerate(service.backends):
        if backend.address.startswith("https://"):
            place: KeyPath = (*key, "backends", index)
            what = f'is "{backend.address}", but sidecars are spoken to without TLS'
            yield Finding((place, table), what, "write it as host:port")
    if service.health.preset != "none":
        what = f'is "{service.health.preset}", but sidecars tell by themselves'
        todo = "take the table health out: checks would count as requests and keep backends from idling"
        yield Finding(((*key, "health", "preset"), table), what, todo)


def _quote(seconds: float) -> str:
    return f'"{format_duration(seconds)}"'


def untouched(found: Iterable[Finding], wrong: set[KeyPath]) -> Iterator[Finding]:
    """Drop the findings that rest on a key which is wrong by itself."""
    for finding in found:
        if not any(_related(key, other) for key in finding.keys for other in wrong):
            yield finding


def _related(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
