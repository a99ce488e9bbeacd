"""Counters and histograms of ended requests: what a proxy counts on its request path, in plain numbers.

Knows `RequestRecord`; knows nothing of Prometheus, whose objects would cost ten times as much per request. A
record costs some two microseconds. Everything here is bounded: services and backends are those of the
configuration, status codes have three digits, and the words of an outcome are few.
"""

from bisect import bisect_left
from collections.abc import Iterable

from swayam_proxy.core.vocabulary import FrontendSpec, ServiceSpec
from swayam_proxy.live.record import RequestRecord

ADVISED_EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that OpenTelemetry advises for the duration of HTTP requests."""
FINE_EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025)
"""Below them, for what should take next to no time: our own overhead, and waiting."""

UNROUTED = "unrouted"
"""The `model` of requests that led to no service."""


class Histogram:
    """Counts per bucket; an upper edge belongs to its bucket, as in Prometheus."""

    __slots__ = ("counts", "edges_s", "sum_s")

    def __init__(self, edges_s: Iterable[float]) -> None:
        """Begin empty, with these edges and one bucket above them."""
        self.edges_s = sorted(set(edges_s))
        self.counts = [0] * (len(self.edges_s) + 1)
        self.sum_s = 0.0

    def observe(self, value_s: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.edges_s, value_s)] += 1
        self.sum_s += value_s


class ServiceMeter:
    """What is counted of one service."""

    __slots__ = (
        "backend_counts",
        "backend_sums_s",
        "durations",
        "first_bytes",
        "overheads",
        "queue_waits",
        "requests",
        "sla_good_count",
        "upstreams",
    )

    def __init__(self, threshold_s: float | None, backends_count: int) -> None:
        """Begin at zero; `threshold_s` is an exact edge of what the promise is about."""
        promise = () if threshold_s is None else (threshold_s,)
        self.durations = Histogram((*ADVISED_EDGES_S, *promise))
        self.first_bytes = Histogram((*ADVISED_EDGES_S, *promise))
        self.upstreams = Histogram((*ADVISED_EDGES_S, *promise))
        self.queue_waits = Histogram((*FINE_EDGES_S, *ADVISED_EDGES_S, *promise))
        self.overheads = Histogram((*FINE_EDGES_S, *ADVISED_EDGES_S))
        self.requests: dict[tuple[int, str], int] = {}
        self.backend_counts = [0] * (backends_count + 1)
        """By index from 1: requests whose answer a backend began or ended."""
        self.backend_sums_s = [0.0] * (backends_count + 1)


class Meters:
    """The `Recorder` behind `/metrics`."""

    def __init__(self, spec: FrontendSpec) -> None:
        """Begin at zero for each service of `spec`."""
        self.services = {service.name: meter_of(service) for service in spec.services}
        self._unrouted = ServiceMeter(None, 0)
        self.services[UNROUTED] = self._unrouted

    def record(self, request: RequestRecord) -> None:
        """Count one ended request."""
        meter = self.services.get(request.service_name, self._unrouted)
        key = (request.code, request.outcome)
        try:
            meter.requests[key] += 1
        except KeyError:
            meter.requests[key] = 1
        total_s = request.total_s
        upstream_s = request.upstream_s
        meter.durations.observe(total_s)
        if request.backend_index:
            meter.first_bytes.observe(request.first_byte_s)
            meter.queue_waits.observe(request.queue_s)
            meter.upstreams.observe(upstream_s)
            meter.overheads.observe(overhead_of(request))
            meter.backend_counts[request.backend_index] += 1
            meter.backend_sums_s[request.backend_index] += upstream_s


def overhead_of(request: RequestRecord) -> float:
    """Return the seconds that the proxy itself added: neither its queue, nor connecting, nor the backend.

    After a second attempt the time of the first is part of `queue_s`, and must not be taken off twice.
    """
    own_s = request.total_s - request.upstream_s - request.queue_s
    if request.attempts < 2:
        own_s -= request.connect_s
    return own_s if own_s > 0.0 else 0.0


def meter_of(service: ServiceSpec) -> ServiceMeter:
    """Return the meter of a service, at zero."""
    return ServiceMeter(service.sla.response_time_s, len(service.backends))


class LoopLag:
    """How late the event loop runs what is due: the largest delay of the last one to two windows.

    `beat` is called every `interval_s`; what it is late by, everything else on the loop was late by too.
    """

    __slots__ = ("_before_s", "_due", "_now_s", "_window_ends", "_window_s", "interval_s")

    def __init__(self, now: float, interval_s: float = 0.1, window_s: float = 10.0) -> None:
        """Begin at `now` with no delay seen."""
        self.interval_s = interval_s
        self._window_s = window_s
        self._window_ends = now + window_s
        self._due = now + interval_s
        self._now_s = 0.0
        self._before_s = 0.0

    def beat(self, now: float) -> None:
        """Take note that the loop came round."""
        if now >= self._window_ends:
            self._before_s, self._now_s = self._now_s, 0.0
            self._window_ends = now + self._window_s
        self._now_s = max(self._now_s, now - self._due)
        self._due = now + self.interval_s

    @property
    def seconds(self) -> float:
        """The largest delay of late."""
        return max(self._now_s, self._before_s)
