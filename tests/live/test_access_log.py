"""The access log's lines, as log collectors read them."""

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from swayam_proxy.live.access_log import AccessLog, path_to_show
from swayam_proxy.live.record import RequestRecord

FIELDS = """
    ts level request_id trace_id client method path model code outcome reason backend backend_index
    prefix_size attempts queue_ms connect_ms first_byte_ms upstream_ms total_ms overhead_ms bytes_in bytes_out
    deadline_ms sla_met cold_start proxy_id
"""
"""What log collectors rely on, in this order."""


def ended_request() -> RequestRecord:
    """Return the record of an ordinary request."""
    request = RequestRecord(time.monotonic())
    request.request_id = "id-1"
    request.method, request.path, request.service_name = "POST", "/v2/models/m/infer?key=secret", "m"
    request.code, request.client, request.backend_address = 200, "127.0.0.1:5000", "127.0.0.1:9001"
    request.backend_index, request.prefix_size, request.attempts = 2, 3, 1
    request.queue_s, request.connect_s, request.upstream_s, request.total_s = 0.010, 0.001, 0.050, 0.0625
    request.first_byte_s, request.bytes_in, request.bytes_out = 0.060, 10, 20
    request.deadline_s, request.sla_met = 0.5, True
    return request


@pytest.fixture
def log(tmp_path: Path) -> AccessLog:
    """An access log in a file of its own."""
    return AccessLog(str(tmp_path / "access.log"), "proxy-1")


def test_every_promised_field_is_there(log: AccessLog) -> None:
    """A line is one JSON object with exactly the documented fields."""
    line = log.line_of(ended_request())
    log.writer.stop()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert list(json.loads(line)) == FIELDS.split()


def test_times_are_milliseconds_and_add_up(log: AccessLog) -> None:
    """Overhead is what is neither waiting, connecting nor the backend's time."""
    entry = json.loads(log.line_of(ended_request()))
    log.writer.stop()
    shown = (entry["queue_ms"], entry["upstream_ms"], entry["total_ms"])
    assert shown == pytest.approx((10.0, 50.0, 62.5), abs=0.002)
    assert entry["overhead_ms"] == pytest.approx(1.5, abs=0.002)
    assert entry["deadline_ms"] == 500.0
    age_s = time.time() - datetime.fromisoformat(entry["ts"]).timestamp()
    assert 0.0 <= age_s < 5.0


def test_no_query_is_logged(log: AccessLog) -> None:
    """What stands behind the question mark may be a secret and must not be in the line."""
    line = log.line_of(ended_request())
    log.writer.stop()
    assert "secret" not in line
    assert json.loads(line)["path"] == "/v2/models/m/infer?"
    assert path_to_show("/plain") == "/plain"


def test_what_clients_send_cannot_forge_lines(log: AccessLog) -> None:
    """Line breaks and quotes in a path stay inside their JSON string."""
    request = ended_request()
    request.path = '/a"\n{"code":200}'
    line = log.line_of(request)
    log.writer.stop()
    assert line.count("\n") == 1
    assert json.loads(line)["path"] == request.path


@pytest.mark.parametrize(("outcome", "level"), [("ok", "info"), ("shed", "info"), ("timeout", "error")])
def test_level_tells_trouble(log: AccessLog, outcome: str, level: str) -> None:
    """Failures of backends are errors; what clients or limits caused is not."""
    request = ended_request()
    request.outcome = outcome
    assert json.loads(log.line_of(request))["level"] == level
    log.writer.stop()


def test_recording_is_cheap_and_arrives(log: AccessLog, tmp_path: Path) -> None:
    """A record reaches the file through the thread."""
    log.record([ended_request()])
    log.writer.stop()
    assert json.loads((tmp_path / "access.log").read_text())["proxy_id"] == "proxy-1"
