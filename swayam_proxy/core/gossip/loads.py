"""What each member expects of each service, and how old that knowledge is.

Knows neither datagrams nor who is counted. A forecast travels with its age, which every relay adds to, so
no two clocks are ever compared. A member publishes a forecast every second, less often where there
are thousands of them, and at once when it changed; execution statistics change slowly and go seldom.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.wire import (
    LOAD_AGE_S_MAX,
    LOAD_AGE_UNIT_S,
    RATE_PER_S_MAX,
    SUMMARY_BYTES_MAX,
    LoadEntry,
    SummaryEntry,
    service_key,
)

_FRESH_INTERVALS = 3.0
_FRESH_EXTRA_S = 2.0


@dataclass(frozen=True, slots=True)
class ServicePayload:
    """What one member says about one service.

    `forecast_per_s` is what it expects for itself, `arrivals_count` what it has counted since it began;
    `prefix` is its current n; `execution` are its mergeable statistics in the model's own
    form, at most `SUMMARY_BYTES_MAX` bytes; `config_hash` is 64 bits over list and SLA.
    """

    forecast_per_s: float
    arrivals_count: int
    prefix: int
    config_hash: int = 0
    execution: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what the wire cannot carry."""
        if not 0.0 <= self.forecast_per_s <= RATE_PER_S_MAX or self.arrivals_count < 0:
            raise ValueError("a forecast is finite, and neither it nor a count is negative")
        if not 0 <= self.prefix <= 0xFFFF or not 0 <= self.config_hash < 1 << 64:
            raise ValueError("a prefix has 16 bits, a config hash 64")
        if len(self.execution) > SUMMARY_BYTES_MAX:
            raise ValueError(f"execution statistics have at most {SUMMARY_BYTES_MAX} bytes")


class Load:
    """A forecast and a rate as known here; `born_at` is our own monotonic time.

    `rate_per_s` is the mean of what the member counted since it last published.
    """

    __slots__ = ("born_at", "forecast_per_s", "prefix", "rate_per_s", "version")

    def __init__(
        self, version: int, born_at: float, forecast_per_s: float, rate_per_s: float, n: int
    ) -> None:
        """Keep what was published."""
        self.version = version
        self.born_at = born_at
        self.forecast_per_s = forecast_per_s
        self.rate_per_s = rate_per_s
        self.prefix = n


class Summary:
    """Execution statistics and config hash as known here."""

    __slots__ = ("born_at", "config_hash", "execution", "version")

    def __init__(self, version: int, born_at: float, config_hash: int, execution: bytes) -> None:
        """Keep what was published."""
        self.version = version
        self.born_at = born_at
        self.config_hash = config_hash
        self.execution = execution


class LoadBook:
    """The newest load and summary of every member, for the services that this member has itself."""

    def __init__(self, own_boot_id: int, service_names: tuple[str, ...], config: GossipConfig) -> None:
        """Begin with nothing known; services of others that are not in the list are ignored."""
        if len(service_names) > config.services_max:
            raise ValueError(f"at most {config.services_max} services, not {len(service_names)}")
        self.names: dict[int, str] = {service_key(name): name for name in service_names}
        if len(self.names) != len(service_names):
            raise ValueError("two services have the same name, or hash alike: rename one")
        self._own = own_boot_id
        self._config = config
        self.keys: dict[str, int] = {name: key for key, name in self.names.items()}
        self._loads: dict[int, dict[int, Load]] = {key: {} for key in self.names}
        self._summaries: dict[int, dict[int, Summary]] = {key: {} for key in self.names}
        self._loads_count = 0
        self._told_counts: dict[int, int] = {}
        """Of this member's own arrivals, when it last published, by service."""

    def publish(
        self, service_name: str, payload: ServicePayload, members_count: int, now: float
    ) -> tuple[bool, bool]:
        """Take this member's own payload; return whether load and summary are worth telling."""
        key = self.keys[service_name]
        stretch = self._stretch(members_count)
        load = self._loads[key].get(self._own)
        if load is None:
            self._loads_count += 1
        tell_load = load is None or self._is_due(load, payload, now, stretch)
        if tell_load:
            version = load.version + 1 if load is not None else 1
            rates = payload.forecast_per_s, self._rate_per_s(key, payload, load, now)
            self._loads[key][self._own] = Load(version, now, *rates, payload.prefix)
            self._told_counts[key] = payload.arrivals_count
        summary = self._summaries[key].get(self._own)
        tell_summary = (
            summary is None
            or summary.config_hash != payload.config_hash
            or now - summary.born_at >= self._config.summary_interval_s * stretch
        )
        if tell_summary:
            version = summary.version + 1 if summary is not None else 1
            self._summaries[key][self._own] = Summary(version, now, payload.config_hash, payload.execution)
        return tell_load, tell_summary

    def _rate_per_s(self, key: int, payload: ServicePayload, last: Load | None, now: float) -> float:
        """Return the mean rate since the last publication; before there is one, what is expected."""
        if last is None or now <= last.born_at:
            return payload.forecast_per_s
        counted = max(0, payload.arrivals_count - self._told_counts[key])
        return min(RATE_PER_S_MAX, counted / (now - last.born_at))

    def learn_load(self, key: int, entry: LoadEntry, now: float) -> bool:
        """Take one entry of a letter; True when it is newer than what was known."""
        loads = self._loads.get(key)
        boot_id, version, age, forecast_per_s, rate_per_s, prefix = entry
        if loads is None or boot_id == self._own:
            return False
        known = loads.get(boot_id)
        if known is None:
            if self._loads_count >= self._config.loads_max:
                return False
            self._loads_count += 1
        elif version <= known.version:
            return False
        loads[boot_id] = Load(version, now - age * LOAD_AGE_UNIT_S, forecast_per_s, rate_per_s, prefix)
        return True

    def learn_summary(self, entry: SummaryEntry, now: float) -> bool:
        """Take one entry of a letter; True when it is newer than what was known."""
        key, boot_id, version, age, config_hash, execution = entry
        summaries = self._summaries.get(key)
        if summaries is None or boot_id == self._own or boot_id not in self._loads[key]:
            return False
        known = summaries.get(boot_id)
        if known is not None and version <= known.version:
            return False
        summaries[boot_id] = Summary(version, now - age * LOAD_AGE_UNIT_S, config_hash, execution)
        return True

    def drop(self, boot_id: int) -> dict[int, float]:
        """Forget a member that is not counted any more; return when it last spoke of which service key."""
        spoke_at: dict[int, float] = {}
        for key, loads in self._loads.items():
            load = loads.pop(boot_id, None)
            if load is not None:
                self._loads_count -= 1
                spoke_at[key] = load.born_at
            self._summaries[key].pop(boot_id, None)
        return spoke_at

    def load_entry(self, key: int, boot_id: int, now: float) -> LoadEntry | None:
        """Return a load as a letter carries it; None when it is unknown or too old to be worth telling."""
        load = self._loads[key].get(boot_id)
        if load is None or now - load.born_at >= LOAD_AGE_S_MAX:
            return None
        age = int((now - load.born_at) / LOAD_AGE_UNIT_S)
        return boot_id, load.version, age, load.forecast_per_s, load.rate_per_s, load.prefix

    def summary_entry(self, key: int, boot_id: int, now: float) -> SummaryEntry | None:
        """Return a summary as a letter carries it."""
        summary = self._summaries[key].get(boot_id)
        if summary is None or now - summary.born_at >= LOAD_AGE_S_MAX:
            return None
        age = int((now - summary.born_at) / LOAD_AGE_UNIT_S)
        return key, boot_id, summary.version, age, summary.config_hash, summary.execution

    def loads(self, service_name: str) -> Mapping[int, Load]:
        """Return the known loads of one service by boot id, this member's own included."""
        return self._loads[self.keys[service_name]]

    def summaries(self, service_name: str) -> Mapping[int, Summary]:
        """Return the known summaries of one service by boot id, this member's own included."""
        return self._summaries[self.keys[service_name]]

    def loads_of(self, boot_id: int) -> Iterator[tuple[str, Load]]:
        """Iterate over what one member expects of each service."""
        for key, loads in self._loads.items():
            load = loads.get(boot_id)
            if load is not None:
                yield self.names[key], load

    def fresh_s(self, members_count: int) -> float:
        """Return the age up to which a load counts as fresh."""
        interval_s = self._config.load_interval_s * self._stretch(members_count)
        return _FRESH_INTERVALS * interval_s + _FRESH_EXTRA_S

    def _stretch(self, members_count: int) -> float:
        """How much less often each load is published, so that traffic per member stays constant."""
        per_s = members_count * len(self.keys) / self._config.load_interval_s
        return max(1.0, per_s / self._config.loads_per_s_max)

    def _is_due(self, load: Load, payload: ServicePayload, now: float, stretch: float) -> bool:
        if now - load.born_at >= self._config.load_interval_s * stretch * 0.9:
            return True
        change_per_s = abs(payload.forecast_per_s - load.forecast_per_s)
        return (
            payload.prefix != load.prefix
            or change_per_s > self._config.load_change_share * load.forecast_per_s
        )
