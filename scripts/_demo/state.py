"""What the proxies say of themselves: one reading of all their `/state`, and the history of readings.

Knows the admin address and the shape of its answer, nothing of how it is drawn.
"""

import http.client
import json
from collections import deque
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

_ANSWER_S = 1.0
_HISTORY_COUNT_MAX = 4 * 3600


@dataclass(frozen=True, slots=True)
class BackendView:
    """One backend as one proxy sees it."""

    index: int
    state: str
    is_in_use: bool
    is_busy: bool
    is_down: bool


@dataclass(frozen=True, slots=True)
class BackendLife:
    """What one backend says of itself."""

    setups_count: int
    is_warm: bool
    is_cold: bool


@dataclass(frozen=True, slots=True)
class ProxyView:
    """One proxy's service."""

    admin: str
    frontends_count: int
    rate_per_s: float
    forecast_per_s: float
    prefix: int
    needs: int
    share_within: float | None
    reason: str
    text: str
    backends: tuple[BackendView, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """All proxies at one moment; None where one did not answer."""

    at_s: float
    proxies: tuple[ProxyView | None, ...]

    @property
    def answering(self) -> list[ProxyView]:
        """The proxies that answered."""
        return [proxy for proxy in self.proxies if proxy is not None]

    @property
    def rate_per_s(self) -> float:
        """The load of all proxies together."""
        return sum(proxy.rate_per_s for proxy in self.answering)

    @property
    def prefix(self) -> int:
        """The longest prefix in use: how many backends are needed now."""
        return max((proxy.prefix for proxy in self.answering), default=0)

    @property
    def merged(self) -> tuple[BackendView, ...]:
        """The backends as the proxy with the longest prefix sees them, busy if busy for anyone."""
        if not self.answering:
            return ()
        busy = {one.index for proxy in self.answering for one in proxy.backends if one.is_busy}
        widest = max(self.answering, key=lambda proxy: proxy.prefix)
        return tuple(replace(one, is_busy=one.index in busy) for one in widest.backends)

    @property
    def share_within(self) -> float | None:
        """The share of requests within the promise, weighted by the proxies' rates."""
        known = [
            (one.share_within, one.rate_per_s + 1e-9)
            for one in self.answering
            if one.share_within is not None
        ]
        weight = sum(rate for _, rate in known)
        return sum(share * rate for share, rate in known) / weight if known else None


@dataclass(slots=True)
class History:
    """Readings since the first load was seen."""

    readings: "deque[Reading]" = field(default_factory=lambda: deque(maxlen=_HISTORY_COUNT_MAX))
    began_at: float | None = None

    def take(self, proxies: tuple["ProxyView | None", ...], now: float) -> Reading:
        """Keep a reading of `now` (monotonic) and return it; before any load it is of 0 s and not kept."""
        reading = Reading(0.0 if self.began_at is None else now - self.began_at, proxies)
        if self.began_at is None and reading.rate_per_s > 0:
            self.began_at = now
        if self.began_at is not None:
            self.readings.append(reading)
        return reading

    def last_per_second(self, count: int, name: str) -> list[float]:
        """Return one value per second, the newest last: the last reading of each second."""
        return [float(getattr(reading, name)) for reading in self.of_last_seconds(count)]

    def of_last_seconds(self, count: int) -> list[Reading]:
        """Return the last reading of each second, the newest last."""
        newest: dict[int, Reading] = {}
        for reading in islice(reversed(self.readings), 8 * count):
            newest.setdefault(int(reading.at_s), reading)
        return list(newest.values())[:count][::-1]

    @property
    def prefixes(self) -> list[int]:
        """All prefixes seen while at least one proxy answered."""
        return [reading.prefix for reading in self.readings if reading.answering]


def read(admins: list[str], services: list[str]) -> dict[str, tuple[ProxyView | None, ...]]:
    """Ask all proxies of each service; one that does not answer within a second is None."""
    states = [_get(admin, "/state") for admin in admins]
    return {
        service: tuple(_view(admin, state, service) for admin, state in zip(admins, states, strict=True))
        for service in services
    }


def ask_backend(address: str) -> BackendLife | None:
    """Ask a backend that speaks the sidecar protocol; None where it does not answer."""
    state = _get(address, "/swayam/state")
    try:
        return BackendLife(state["incarnation"], state["state"] == "WARM", state["state"] == "COLD")
    except KeyError:
        return None


def _view(admin: str, state: dict[str, Any], service: str) -> ProxyView | None:
    try:
        return parse_state(admin, state, service)
    except (KeyError, TypeError):
        return None


def _get(address: str, path: str) -> dict[str, Any]:
    """Return the object that a path answers; empty where it answers none."""
    connection = http.client.HTTPConnection(address, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        content = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return content if isinstance(content, dict) else {}


def parse_state(admin: str, state: dict[str, Any], service_name: str) -> ProxyView:
    """Return the view of one `/state` answer; raises KeyError or TypeError where it has another shape."""
    service = state["services"][service_name]
    decision = service["decision"] or {}
    backends = tuple(
        BackendView(
            index=one["index"],
            state=one["state"],
            is_in_use=one["in_use"],
            is_busy=one["outstanding_count"] > 0,
            is_down=one["ejected"] or not one["healthy"],
        )
        for one in service["backends"]
    )
    return ProxyView(
        admin=admin,
        frontends_count=state["frontends_estimate"],
        rate_per_s=service["rate_per_s"],
        forecast_per_s=service["forecast_per_s"],
        prefix=service["prefix"],
        needs=service["needs"],
        share_within=service["share_within"],
        reason=decision.get("reason", "-"),
        text=decision.get("text", ""),
        backends=backends,
    )
