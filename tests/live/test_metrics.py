"""What a scrape shows: the promised names, bounded labels, values that agree with the snapshot."""

import random

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import FrontendSpec, Outcome
from swayam_proxy.live.data_plane import DataPlaneSnapshot
from swayam_proxy.live.meters import LoopLag, Meters
from swayam_proxy.live.metrics import Metrics
from swayam_proxy.live.record import RequestRecord
from swayam_proxy.live.record_batch import RecordBatch
from tests.live.samples import decision, frontend_spec, service_spec

NAMES = """
requests_total request_duration_seconds first_byte_seconds queue_wait_seconds upstream_duration_seconds
overhead_seconds requests_in_flight queue_length shed_total retries_total retry_budget_ratio
backend_requests_total backend_in_flight backend_slots backend_up backend_ejected backend_in_prefix
backend_service_seconds backends prefix_size prefix_target prefix_min prefix_max arrival_rate
sla_requests_total sla_good_total sla_target_ratio sla_threshold_seconds sla_predicted_ratio fit_ks_statistic
fit_samples decisions_total decision_duration_seconds decision_duration_max_seconds decision_age_seconds
frontends_estimate build_info
event_loop_lag_seconds client_connections client_connections_max backend_connections_idle
"""
"""Names that users build dashboards and alerts on; they do not change without a word in the changelog."""


class Scrape:
    """One scrape, parsed by Prometheus' own reader."""

    def __init__(self, metrics: Metrics) -> None:
        self.text = generate_latest(metrics).decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one sample of that name and labels."""
        return float(self.samples[f"swayam_{name}", tuple(sorted(labels.items()))])


class Bench:
    """A frontend with meters and metrics on a clock that the test moves."""

    def __init__(self, spec: FrontendSpec) -> None:
        self.now = 0.0
        self.frontend = Frontend(spec, random.Random(7), self.now)
        self.meters = Meters(spec)
        self.batch = RecordBatch(self.meters.record)
        self.metrics = Metrics(
            spec,
            self.meters,
            lambda: self.frontend.snapshot(self.now),
            clock=lambda: self.now,
            version="1.2.3",
            loop_lag=LoopLag(self.now),
            lines_dropped=lambda: {"access": 4},
            decision_time=lambda: (3, 0.006, 0.004),
            connections=lambda: DataPlaneSnapshot(
                (),
                2,
                100,
                7,
                draining=False,
                accepting=True,
                in_flight_count=1,
                idle_backend_connections_count=3,
            ),
            settle=self.batch.settle,
        )

    def scrape(self) -> Scrape:
        """Collect everything now."""
        return Scrape(self.metrics)


@pytest.fixture
def bench() -> Bench:
    """A frontend of one service with three backends."""
    return Bench(frontend_spec())


def test_every_promised_name_is_there(bench: Bench) -> None:
    """The names of the contract exist from the first scrape on, even before any request."""
    shown = bench.scrape().text
    missing = [name for name in NAMES.split() if f"# TYPE swayam_{name} " not in shown]
    assert not missing
    assert "# TYPE process_resident_memory_bytes gauge" in shown


def test_families_come_once_with_help(bench: Bench) -> None:
    """No family is shown twice, and each has a text that says what it is."""
    families = bench.scrape().families
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(family.documentation for family in families)


def test_requests_and_buckets(bench: Bench) -> None:
    """A request that took exactly the promised time lies in the bucket of the promise; what waits in the
    batch is counted, too.
    """
    for total_s in (0.3, 0.31):
        request = RequestRecord(0.0)
        request.service_name, request.code, request.backend_index = "m", 200, 1
        request.total_s = total_s
        bench.batch.record(request)
    scrape = bench.scrape()
    assert scrape.value("requests_total", model="m", code="200", outcome="ok") == 2
    assert scrape.value("request_duration_seconds_bucket", model="m", le="0.3") == 1
    assert scrape.value("request_duration_seconds_bucket", model="m", le="+Inf") == 2
    assert scrape.value("request_duration_seconds_count", model="m") == 2
    assert scrape.value("request_duration_seconds_sum", model="m") == pytest.approx(0.61)
    served = {"model": "m", "backend": "127.0.0.1:1", "index": "1"}
    assert scrape.value("backend_service_seconds_count", **served) == 2


def test_gauges_agree_with_the_snapshot(bench: Bench) -> None:
    """What is in flight, in use and wanted is what the frontend says."""
    ticket = bench.frontend.admit("m", bench.now)
    assert isinstance(ticket, Ticket)
    service = bench.frontend.snapshot(bench.now).services[0]
    scrape = bench.scrape()
    assert scrape.value("requests_in_flight", model="m") == service.in_flight_count == 1
    assert scrape.value("prefix_size", model="m") == service.prefix
    assert scrape.value("sla_threshold_seconds", model="m") == 0.3
    assert scrape.value("sla_target_ratio", model="m") == 0.99
    backend = {"model": "m", "backend": ticket.backend_address, "index": str(ticket.backend_index)}
    assert scrape.value("backend_in_flight", **backend) == 1
    assert scrape.value("backends", model="m", state="in_use_busy") == 1
    bench.frontend.finish(ticket, Outcome.SERVED, 0.1, execution_s=0.1)
    assert bench.scrape().value("sla_good_total", model="m") == 1


def test_backends_are_counted_in_exactly_one_state(bench: Bench) -> None:
    """The states of a service add up to the length of its list."""
    scrape = bench.scrape()
    counts = [value for (name, _), value in scrape.samples.items() if name == "swayam_backends"]
    assert sum(counts) == 3


def test_decisions_are_counted_by_what_they_did(bench: Bench) -> None:
    """A larger prefix is up, a smaller one down, the same one hold; the reason is the rules' own word."""
    for prefix in (1, 3, 3, 2):
        bench.metrics.decided(decision("m", prefix=prefix, needs=prefix))
    scrape = bench.scrape()
    counted = {
        action: scrape.value("decisions_total", model="m", action=action, reason="steady")
        for action in ("up", "down", "hold")
    }
    assert counted == {"up": 1, "down": 1, "hold": 2}


def test_own_state_is_shown(bench: Bench) -> None:
    """Version, lost log lines and the cost of decisions are there."""
    scrape = bench.scrape()
    assert scrape.value("build_info", version="1.2.3") == 1
    assert scrape.value("log_lines_dropped_total", log="access") == 4
    assert scrape.value("decision_duration_seconds_count") == 3
    assert scrape.value("decision_duration_max_seconds") == 0.004
    assert scrape.value("frontends_estimate") == 1
    assert scrape.value("client_connections") == 2
    assert scrape.value("backend_connections_idle") == 3


def test_labels_are_bounded() -> None:
    """Metrics grow with services and backends of the configuration, not with traffic."""
    bench = Bench(frontend_spec(service_spec("a", 2), service_spec("b", 5)))
    before = len(bench.scrape().samples)
    for number in range(500):
        request = RequestRecord(0.0)
        request.service_name, request.code = ("a", "b", f"x{number}")[number % 3], 200
        request.path, request.client = f"/{number}", f"10.0.0.1:{number}"
        bench.batch.record(request)
    assert len(bench.scrape().samples) - before == 3  # one more (code, outcome) for a, b and the unrouted
