"""Counting on the request path: the right bucket, bounded labels, and cheap."""

import random
import time
from itertools import accumulate

import pytest

from swayam_proxy.live.meters import UNROUTED, Histogram, LoopLag, Meters, overhead_of
from swayam_proxy.live.record import RequestRecord
from tests.live.samples import frontend_spec, service_spec


def ended_request(service_name: str = "m", total_s: float = 0.0625) -> RequestRecord:
    """Return the record of a request that the second backend served."""
    request = RequestRecord(1.0)
    request.service_name = service_name
    request.code, request.backend_index = 200, 2
    request.queue_s, request.connect_s, request.upstream_s, request.total_s = 0.01, 0.001, 0.05, total_s
    request.first_byte_s = 0.06
    return request


def test_an_edge_belongs_to_its_bucket() -> None:
    """A value that equals the promised time counts as within it; the next larger one does not."""
    histogram = Histogram((0.3, 0.1))
    for value_s in (0.1, 0.2, 0.3, 0.3000001, 9.0):
        histogram.observe(value_s)
    assert histogram.edges_s == [0.1, 0.3]
    assert list(accumulate(histogram.counts)) == [1, 3, 5]
    assert histogram.sum_s == pytest.approx(9.9000001)


@pytest.mark.parametrize("count", [1, 7, 8, 64, 500])
def test_many_values_count_like_one_after_the_other(count: int) -> None:
    """Sorting first changes no bucket: not for values on edges, below the first or above the last."""
    rng = random.Random(count)
    edges_s = (0.1, 0.2, 0.3, 0.5, 0.8)
    values_s = [rng.choice((*edges_s, rng.uniform(0.0, 1.0), rng.expovariate(9.0))) for _ in range(count)]
    together, one_by_one = Histogram(edges_s), Histogram(edges_s)
    together.observe_all(values_s)
    for value_s in values_s:
        one_by_one.observe(value_s)
    assert together.counts == one_by_one.counts
    assert together.sum_s == pytest.approx(one_by_one.sum_s)


def test_the_promise_is_an_exact_edge() -> None:
    """Dashboards need no interpolation: the service's own threshold is one of the edges, once."""
    for threshold_s in (0.3, 0.25):
        spec = frontend_spec(service_spec(response_time_s=threshold_s))
        edges_s = Meters(spec).services["m"].durations.edges_s
        assert edges_s.count(threshold_s) == 1
        assert edges_s == sorted(edges_s)


def test_a_record_is_counted_everywhere_once() -> None:
    """Each histogram, the outcome and the backend take one request; overhead is what is left over."""
    meters = Meters(frontend_spec())
    meters.record([ended_request()])
    meter = meters.services["m"]
    assert meter.requests == {(200, "ok"): 1}
    for histogram in (
        meter.durations,
        meter.first_bytes,
        meter.upstreams,
        meter.queue_waits,
        meter.overheads,
    ):
        assert sum(histogram.counts) == 1
    assert meter.overheads.sum_s == pytest.approx(0.0015)
    assert meter.backend_counts == [0, 0, 1, 0]
    assert meter.backend_sums_s[2] == pytest.approx(0.05)


def test_a_second_attempt_is_not_taken_off_twice() -> None:
    """Time lost to a backend that refused counts as waiting, so the overhead stays what the proxy did."""
    request = ended_request()
    request.attempts, request.queue_s, request.connect_s, request.upstream_s = 2, 0.012, 0.011, 0.05
    assert overhead_of(request) == pytest.approx(0.0005)
    request.queue_s = 0.5
    assert overhead_of(request) == 0.0, "never negative"


def test_a_refused_request_says_nothing_of_backends() -> None:
    """Without a backend only outcome and duration are counted, so that averages keep their meaning."""
    meters = Meters(frontend_spec())
    request = ended_request()
    request.backend_index, request.code, request.outcome = 0, 503, "shed"
    meters.record([request])
    meter = meters.services["m"]
    assert meter.requests == {(503, "shed"): 1}
    assert sum(meter.durations.counts) == 1
    assert sum(meter.upstreams.counts) == sum(meter.queue_waits.counts) == sum(meter.backend_counts) == 0


def test_unknown_services_share_one_label() -> None:
    """A client that asks for made-up models cannot make the proxy's memory or its metrics grow."""
    meters = Meters(frontend_spec())
    for number in range(1000):
        request = ended_request(f"made-up-{number}")
        request.backend_index, request.code, request.outcome = 0, 404, "bad_request"
        meters.record([request])
    assert set(meters.services) == {"m", UNROUTED}
    assert meters.services[UNROUTED].requests == {(404, "bad_request"): 1000}


def test_services_of_one_batch_are_told_apart() -> None:
    """Records of several services that come together count each for its own."""
    meters = Meters(frontend_spec(service_spec("a"), service_spec("b")))
    requests = [ended_request(name) for name in ("a", "b", "a", "nobody", "a")]
    requests[3].backend_index = 0
    meters.record(requests)
    assert {name: meter.requests.get((200, "ok"), 0) for name, meter in meters.services.items()} == {
        "a": 3,
        "b": 1,
        UNROUTED: 1,
    }


def test_recording_costs_microseconds() -> None:
    """Far below what a request costs; the bar is loose because the machine may be busy."""
    meters = Meters(frontend_spec())
    request = ended_request()
    best_s = 1.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(2000):
            meters.record([request])
        best_s = min(best_s, (time.perf_counter() - began) / 2000)
    assert best_s < 20e-6


def test_loop_lag_remembers_the_worst_for_a_while() -> None:
    """A late beat shows for one to two windows, then it is forgotten."""
    lag = LoopLag(100.0, interval_s=1.0, window_s=10.0)
    now = 100.0
    for delay_s in (1.0, 1.5, 1.0):
        now += delay_s
        lag.beat(now)
    assert lag.seconds == pytest.approx(0.5)
    for _ in range(9):
        now += 1.0
        lag.beat(now)
    assert lag.seconds == pytest.approx(0.5), "still in the window before"
    for _ in range(12):
        now += 1.0
        lag.beat(now)
    assert lag.seconds == 0.0
