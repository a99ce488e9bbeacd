"""What is known of one request when it has ended: the one value that metrics and the access log read."""

from typing import Protocol


class RequestRecord:
    """One ended request; mutable while it runs, handed to a `Recorder` once.

    Times in seconds, sizes in bytes. `outcome` is one of ok, shed, retry_exhausted, client_abort,
    upstream_error, timeout, bad_request. `code` is the status sent (499 when the client left first).
    """

    __slots__ = (
        "attempts",
        "backend_address",
        "backend_index",
        "bytes_in",
        "bytes_out",
        "client",
        "code",
        "cold_start",
        "connect_s",
        "deadline_s",
        "first_byte_s",
        "method",
        "outcome",
        "path",
        "prefix_size",
        "queue_s",
        "reason",
        "request_id",
        "service_name",
        "sla_met",
        "started_at",
        "total_s",
        "trace_id",
        "upstream_s",
    )

    def __init__(self, started_at: float) -> None:
        """Begin the record of a request whose head was complete at `started_at` (monotonic)."""
        self.started_at = started_at
        self.request_id = ""
        self.trace_id = ""
        self.client = ""
        self.method = ""
        self.path = ""
        self.service_name = ""
        self.code = 0
        self.outcome = "ok"
        self.reason = ""
        self.backend_address = ""
        self.backend_index = 0
        self.prefix_size = 0
        self.attempts = 0
        self.queue_s = 0.0
        self.connect_s = 0.0
        self.first_byte_s = 0.0
        self.upstream_s = 0.0
        self.total_s = 0.0
        self.bytes_in = 0
        self.bytes_out = 0
        self.deadline_s: float | None = None
        self.sla_met: bool | None = None
        self.cold_start = False


class Recorder(Protocol):
    """Whoever wants to know of ended requests."""

    def record(self, request: RequestRecord) -> None:
        """Take note; called on the loop, must not block and must not keep more than a bounded amount."""
