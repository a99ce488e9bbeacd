"""What a proxy tells Prometheus: the names that users build dashboards on, written down once.

Reads the meters of the request path, the frontend's snapshot and the logs' counters when it is asked, and
keeps nothing but the counts of decisions. One custom collector: no Prometheus object is touched per request.
Labels are bounded: the services and backends of the configuration, and short lists of words. Prometheus'
users call a service a model, so that is what the label says.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from swayam_proxy.core.gossip.view import GossipSnapshot
from swayam_proxy.core.snapshot import BackendSnapshot, FrontendSnapshot, ServiceSnapshot
from swayam_proxy.core.vocabulary import BackendState, Decision, FrontendSpec
from swayam_proxy.live.data_plane import DataPlaneSnapshot
from swayam_proxy.live.gossip_metrics import gossip_metrics
from swayam_proxy.live.meters import Histogram, LoopLag, Meters, ServiceMeter

_MODEL = ("model",)
_BACKEND = ("model", "backend", "index")

_HISTOGRAMS: tuple[tuple[str, str, Callable[[ServiceMeter], Histogram]], ...] = (
    ("request_duration", "From a whole request head to the end of the answer.", lambda m: m.durations),
    ("first_byte", "From a whole request head to the head of the backend's answer.", lambda m: m.first_bytes),
    ("queue_wait", "Time in this proxy's queue.", lambda m: m.queue_waits),
    (
        "upstream_duration",
        "Time at the backend, from the request sent to the answer ended.",
        lambda m: m.upstreams,
    ),
    (
        "overhead",
        "What the proxy itself added: neither queue, connecting nor backend.",
        lambda m: m.overheads,
    ),
)

_SERVICE_GAUGES: tuple[tuple[str, str, Callable[[ServiceSnapshot], float]], ...] = (
    ("requests_in_flight", "Requests at backends now.", lambda s: s.in_flight_count),
    ("queue_length", "Requests that wait in this proxy's queue.", lambda s: s.queue_count),
    ("prefix_size", "Backends 1..n that get calls.", lambda s: s.prefix),
    ("prefix_min", "Least allowed prefix.", lambda s: s.prefix_min),
    ("prefix_max", "Largest allowed prefix.", lambda s: s.prefix_max),
    (
        "sla_target_ratio",
        "Share of requests that the promise wants within the threshold.",
        lambda s: s.sla.level,
    ),
    ("sla_threshold_seconds", "Response time of the promise.", lambda s: s.sla.response_time_s),
    ("fail_open", "1 while ejected backends are used because too many are ejected.", lambda s: s.fail_open),
    ("observe_only", "1 where decisions are reported but not followed.", lambda s: s.observe_only),
)

_DECISION_GAUGES: tuple[tuple[str, str, Callable[[Decision], float]], ...] = (
    ("prefix_target", "Backends that the model asks for, before bounds and hold.", lambda d: d.model_needs),
    (
        "fit_ks_statistic",
        "Distance of measured execution times from the fitted log-normal.",
        lambda d: d.fit_ks,
    ),
    ("fit_samples", "Weight of the measured execution times behind the fit.", lambda d: d.samples_count),
)

_BACKEND_GAUGES: tuple[tuple[str, str, Callable[[BackendSnapshot], float]], ...] = (
    ("backend_in_flight", "Requests of this proxy at the backend now.", lambda b: b.outstanding_count),
    ("backend_slots", "Requests that the backend runs at once.", lambda b: b.slots),
    ("backend_up", "1 unless active checks say that it is down.", lambda b: b.healthy),
    ("backend_ejected", "1 while it is kept out for its own faults.", lambda b: b.ejected),
    ("backend_in_prefix", "1 while it is in use.", lambda b: b.in_use),
)

_BACKEND_STATES = ("cold", "warming", "warm_unused", "in_use_idle", "in_use_busy", "draining", "down")


class Metrics(Collector):
    """The collector; `snapshot` is called once for each scrape."""

    def __init__(
        self,
        spec: FrontendSpec,
        meters: Meters,
        snapshot: Callable[[], FrontendSnapshot],
        *,
        clock: Callable[[], float],
        version: str,
        loop_lag: LoopLag,
        lines_dropped: Callable[[], dict[str, int]],
        decision_time: Callable[[], tuple[int, float, float]],
        connections: Callable[[], DataPlaneSnapshot],
        settle: Callable[[], None],
        gossip: Callable[[], GossipSnapshot | None] = lambda: None,
    ) -> None:
        """Collect from these; `lines_dropped` tells per log, `decision_time` count, sum and maximum.

        `settle` has the meters take in what they have not taken in yet.
        """
        self._spec = spec
        self._meters = meters
        self._snapshot = snapshot
        self._clock = clock
        self._version = version
        self._loop_lag = loop_lag
        self._lines_dropped = lines_dropped
        self._decision_time = decision_time
        self._connections = connections
        self._settle = settle
        self._gossip = gossip
        self._decisions: dict[tuple[str, str, str], int] = {}
        self._prefixes: dict[str, int] = {}
        # a registry of its own, so that the platform's process metrics come along and nobody else's
        self._process = ProcessCollector(registry=CollectorRegistry())

    def decided(self, decision: Decision) -> None:
        """Count a decision by what it did and why."""
        name = decision.service_name
        before = self._prefixes.get(name, decision.prefix)
        self._prefixes[name] = decision.prefix
        action = "up" if decision.prefix > before else "down" if decision.prefix < before else "hold"
        key = (name, action, decision.reason.value)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield every metric once, from one snapshot."""
        self._settle()
        snapshot = self._snapshot()
        yield from self._of_requests()
        yield from self._of_services(snapshot)
        yield from self._of_decisions(snapshot)
        yield from self._of_backends(snapshot)
        yield from self._of_self(snapshot)
        gossip = self._gossip()
        if gossip is not None:
            yield from gossip_metrics(gossip)
        yield from self._process.collect()

    def _of_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "swayam_requests", "Ended requests.", labels=("model", "code", "outcome")
        )
        for name, meter in self._meters.services.items():
            for (code, outcome), count in sorted(meter.requests.items()):
                requests.add_metric((name, str(code), outcome), count)
        yield requests
        for name, text, histogram_of in _HISTOGRAMS:
            family = HistogramMetricFamily(f"swayam_{name}_seconds", text, labels=_MODEL)
            for service_name, meter in self._meters.services.items():
                histogram = histogram_of(meter)
                family.add_metric((service_name,), buckets_of(histogram), histogram.sum_s)
            yield family
        served = SummaryMetricFamily(
            "swayam_backend_service_seconds", "Time of requests at each backend.", labels=_BACKEND
        )
        for service in self._spec.services:
            meter = self._meters.services[service.name]
            for index, backend in enumerate(service.backends, start=1):
                labels = (service.name, backend.address, str(index))
                served.add_metric(labels, meter.backend_counts[index], meter.backend_sums_s[index])
        yield served

    def _of_services(self, snapshot: FrontendSnapshot) -> Iterator[Metric]:
        services = snapshot.services
        for name, text, value_of in _SERVICE_GAUGES:
            yield gauge(name, text, _MODEL, (((s.name,), value_of(s)) for s in services))
        yield counter(
            "sla_requests", "Requests that the promise is about.", _MODEL,
            (((s.name,), s.requests_count) for s in services),
        )  # fmt: skip
        yield counter(
            "sla_good", "Requests answered within the threshold.", _MODEL,
            (((s.name,), s.good_count) for s in services),
        )  # fmt: skip
        yield counter(
            "shed", "Requests refused, by reason.", ("model", "reason"),
            (((s.name, reason), count) for s in services for reason, count in sorted(s.refusals.items())),
        )  # fmt: skip
        yield counter(
            "retries", "Further attempts at another backend, by the fault before.", ("model", "reason"),
            (((s.name, reason), count) for s in services for reason, count in sorted(s.retries.items())),
        )  # fmt: skip
        yield gauge(
            "retry_budget_ratio", "Retries allowed per first attempt.", _MODEL,
            (((spec.name,), spec.retry.budget_ratio) for spec in self._spec.services),
        )  # fmt: skip
        yield counter(
            "ejections_denied", "Ejections not carried out because too many were out.", _MODEL,
            (((s.name,), s.ejections_denied_count) for s in services),
        )  # fmt: skip
        yield gauge(
            "backends", "Backends by what they are and whether they are in use.", ("model", "state"),
            (((s.name, state), count) for s in services for state, count in count_states(s.backends).items()),
        )  # fmt: skip

    def _of_decisions(self, snapshot: FrontendSnapshot) -> Iterator[Metric]:
        rates = GaugeMetricFamily(
            "swayam_arrival_rate",
            "Requests per second: own, of all frontends, forecast.",
            labels=("model", "scope"),
        )
        for service in snapshot.services:
            rates.add_metric((service.name, "local"), service.rate_per_s)
            rates.add_metric((service.name, "forecast"), service.forecast_per_s)
            if service.decision is not None:
                rates.add_metric((service.name, "global"), service.decision.global_rate_per_s)
        yield rates
        decided = [(s.name, s.decision) for s in snapshot.services if s.decision is not None]
        for name, text, value_of in _DECISION_GAUGES:
            yield gauge(name, text, _MODEL, (((service,), value_of(d)) for service, d in decided))
        yield gauge(
            "sla_predicted_ratio", "Share within the threshold that the model expects there.", _MODEL,
            (((s,), share) for s, d in decided for n, share in d.attainment if n == d.model_needs),
        )  # fmt: skip
        now = self._clock()
        yield gauge(
            "decision_age_seconds", "Time since the last decision.", _MODEL,
            (((service,), max(0.0, now - d.at)) for service, d in decided),
        )  # fmt: skip
        yield counter(
            "decisions", "Decisions by what they did and why.", ("model", "action", "reason"),
            sorted(self._decisions.items()),
        )  # fmt: skip
        duration = SummaryMetricFamily(
            "swayam_decision_duration_seconds", "Time that wake-ups of the rules took, decisions above all."
        )
        count, total_s, longest_s = self._decision_time()
        duration.add_metric((), count, total_s)
        yield duration
        yield gauge(
            "decision_duration_max_seconds", "The longest that one of them has kept the event loop.", (),
            [((), longest_s)],
        )  # fmt: skip

    def _of_backends(self, snapshot: FrontendSnapshot) -> Iterator[Metric]:
        rows = [
            ((service.name, backend.address, str(backend.index)), backend)
            for service in snapshot.services
            for backend in service.backends
        ]
        for name, text, value_of in _BACKEND_GAUGES:
            yield gauge(name, text, _BACKEND, ((labels, value_of(backend)) for labels, backend in rows))
        yield counter(
            "backend_requests", "Requests booked at each backend.", _BACKEND,
            ((labels, backend.requests_count) for labels, backend in rows),
        )  # fmt: skip
        yield counter(
            "backend_faults", "Faults of each backend.", _BACKEND,
            ((labels, backend.faults_count) for labels, backend in rows),
        )  # fmt: skip

    def _of_self(self, snapshot: FrontendSnapshot) -> Iterator[Metric]:
        yield gauge("frontends_estimate", "Frontends that share the load, as used by decisions.", (),
                    [((), snapshot.frontends_estimate)])  # fmt: skip
        yield gauge("draining", "1 while this proxy ends.", (), [((), snapshot.draining)])
        connections = self._connections()
        yield gauge(
            "client_connections", "Connections of clients.", (), [((), connections.connections_count)]
        )
        yield gauge("client_connections_max", "Connections of clients beyond which new ones wait.", (),
                    [((), connections.connections_max)])  # fmt: skip
        yield gauge("backend_connections_idle", "Idle connections kept open to backends.", (),
                    [((), connections.idle_backend_connections_count)])  # fmt: skip
        yield gauge("event_loop_lag_seconds", "Largest delay of the event loop in the last 10 to 20 s.", (),
                    [((), self._loop_lag.seconds)])  # fmt: skip
        yield counter("log_lines_dropped", "Lines lost because a log could not keep up.", ("log",),
                      (((log,), count) for log, count in self._lines_dropped().items()))  # fmt: skip
        yield gauge(
            "build_info", "Always 1; the version is in the label.", ("version",), [((self._version,), 1)]
        )


def gauge(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """Return a gauge with a value for each row of labels."""
    family = GaugeMetricFamily(f"swayam_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def counter(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """Return a counter, shown as `name`_total, with a value for each row of labels."""
    family = CounterMetricFamily(f"swayam_{name}", text, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def buckets_of(histogram: Histogram) -> list[tuple[str, float]]:
    """Return the running totals by upper edge, the way Prometheus wants them."""
    edges = [*(repr(edge_s) for edge_s in histogram.edges_s), "+Inf"]
    return list(zip(edges, accumulate(histogram.counts), strict=True))


def count_states(backends: Iterable[BackendSnapshot]) -> dict[str, int]:
    """Count backends by state; those that are warm by whether they are in use, and busy."""
    counts = dict.fromkeys(_BACKEND_STATES, 0)
    for backend in backends:
        counts[state_to_show(backend)] += 1
    return counts


def state_to_show(backend: BackendSnapshot) -> str:
    """Return the one word that tells operators what a backend is."""
    if backend.state is BackendState.LOST or not backend.healthy or backend.ejected:
        return "down"
    if backend.state is not BackendState.WARM:
        return backend.state.value
    if not backend.in_use:
        return "warm_unused"
    return "in_use_busy" if backend.outstanding_count else "in_use_idle"
