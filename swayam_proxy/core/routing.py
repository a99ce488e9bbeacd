"""Which service a request is for, by host, path prefix and fields.

Knows nothing of connections. The most specific route wins: a named host before any host, the longest path
prefix, then the most field conditions. A prefix matches whole path segments only: "/a" leads "/a/b", not
"/ab".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swayam_proxy.core.vocabulary import RouteSpec, ServiceSpec


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Where a request goes, and which path prefix to take off before it is sent ("" for none)."""

    service_name: str
    strip: str


class Router:
    """The routes of all services, compiled: a look-up costs one dict access per path segment."""

    __slots__ = ("_by_host", "service_names")

    def __init__(self, services: Iterable[ServiceSpec]) -> None:
        """Compile the routes.

        Raises:
            ValueError: two services claim the very same route.
        """
        self._by_host: dict[str | None, dict[str, list[tuple[RouteSpec, RouteMatch]]]] = {}
        self.service_names: tuple[str, ...] = tuple(service.name for service in services)
        for service in services:
            for route in service.routes:
                self._add(route, service.name)

    def _add(self, route: RouteSpec, service_name: str) -> None:
        prefix = route.path_prefix.rstrip("/")
        entries = self._by_host.setdefault(route.host, {}).setdefault(prefix, [])
        if any(sorted(other.headers) == sorted(route.headers) for other, _ in entries):
            raise ValueError(f"route {route.path_prefix!r} of service {service_name!r} is taken twice")
        entries.append((route, RouteMatch(service_name, prefix if route.strip_prefix else "")))
        entries.sort(key=lambda entry: -len(entry[0].headers))

    def match(self, host: str, path: str, fields: Iterable[tuple[bytes, bytes]]) -> RouteMatch | None:
        """Return the most specific match, or None.

        `host` is lower case without a port, `path` has no query, `fields` are raw pairs of the request head.
        """
        for table in (self._by_host.get(host), self._by_host.get(None)):
            if table is None:
                continue
            prefix = path.rstrip("/")
            while True:
                entries = table.get(prefix)
                if entries is not None:
                    for route, match in entries:
                        if not route.headers or _fields_agree(route.headers, fields):
                            return match
                if not prefix:
                    break
                prefix = prefix[: prefix.rfind("/")] if "/" in prefix else ""
        return None


def _fields_agree(wanted: tuple[tuple[str, str], ...], fields: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether every wanted field occurs with exactly its value."""
    present = {(name.lower().decode("latin-1"), value.decode("latin-1")) for name, value in fields}
    return all(pair in present for pair in wanted)
