"""Counters and histograms of ended requests: what a proxy counts on its request path, in plain numbers.

Knows `RequestRecord`; knows nothing of Prometheus, whose objects would cost twenty times as much per request.
Records come many at a time, since most of the work is then done once for all: half a microsecond for each.
Everything here is bounded: services and backends are those of the configuration, status codes have three
digits, and the words of an outcome are few.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter

from swayam_proxy.core.vocabulary import FrontendSpec, ServiceSpec
from swayam_proxy.live.record import RequestRecord

ADVISED_EDGES_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""The buckets that OpenTelemetry advises for the duration of HTTP requests."""
FINE_EDGES_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025)
"""Below them, for what should take next to no time: our own overhead, and waiting."""

UNROUTED = "unrouted"
"""The `model` of requests that led to no service."""

_FEW = 8
"""Fewer values than this are put into their buckets one by one."""
_service_name_of = attrgetter("service_name")
_end_of = attrgetter("code", "outcome")


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

    def observe_all(self, values_s: Sequence[float]) -> None:
        """Count many values: to sort them costs less than to look for the bucket of each."""
        self.sum_s += sum(values_s)
        counts = self.counts
        if len(values_s) < _FEW:
            for value_s in values_s:
                counts[bisect_left(self.edges_s, value_s)] += 1
            return
        ordered = sorted(values_s)
        largest_s = ordered[-1]
        below = 0
        for bucket, edge_s in enumerate(self.edges_s):
            if largest_s <= edge_s:
                counts[bucket] += len(ordered) - below
                return
            within = bisect_right(ordered, edge_s, below)
            counts[bucket] += within - below
            below = within
        counts[-1] += len(ordered) - below


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

    def count(self, requests: Sequence[RequestRecord]) -> None:
        """Count ended requests of this service."""
        for key, count in Counter(map(_end_of, requests)).items():
            self.requests[key] = self.requests.get(key, 0) + count
        self.durations.observe_all([request.total_s for request in requests])
        at_backends = [request for request in requests if request.backend_index]
        if not at_backends:
            return
        self.first_bytes.observe_all([request.first_byte_s for request in at_backends])
        self.queue_waits.observe_all([request.queue_s for request in at_backends])
        self.upstreams.observe_all([request.upstream_s for request in at_backends])
        self.overheads.observe_all([overhead_of(request) for request in at_backends])
        counts, sums_s = self.backend_counts, self.backend_sums_s
        for request in at_backends:
            counts[request.backend_index] += 1
            sums_s[request.backend_index] += request.upstream_s


class Meters:
    """What `/metrics` shows of requests."""

    def __init__(self, spec: FrontendSpec) -> None:
        """Begin at zero for each service of `spec`."""
        self.services = {service.name: meter_of(service) for service in spec.services}
        self._unrouted = ServiceMeter(None, 0)
        self.services[UNROUTED] = self._unrouted

    def record(self, requests: Sequence[RequestRecord]) -> None:
        """Count ended requests."""
        names = set(map(_service_name_of, requests))
        if len(names) == 1:
            self._meter(names.pop()).count(requests)
            return
        for name in names:
            self._meter(name).count([request for request in requests if request.service_name == name])

    def _meter(self, name: str) -> ServiceMeter:
        return self.services.get(name, self._unrouted)


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
