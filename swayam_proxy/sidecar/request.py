"""What a sidecar reads in a request beside what every proxy does: the grant it comes with, and whether it is
for the sidecar itself.
"""

import re
from dataclasses import dataclass

from swayam_proxy.core.admission import HoldKey
from swayam_proxy.live.backend_pool import ServiceSide
from swayam_proxy.live.problem import Problem
from swayam_proxy.live.request_head import RequestHead
from swayam_proxy.live.request_plan import RequestPlan, RequestPlanner, RequestShape

CONTROL_PATHS = "/swayam/"
SERVICE_FIELD = b"swayam-service"
_GRANT = re.compile(rb"([A-Za-z0-9._-]{1,64})/([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A request for the sidecar itself."""

    method: str
    path: str
    upgrade: bytes
    authorization: bytes
    frontend: bytes
    service: str = ""
    """Which of a machine's services is meant."""


class SidecarPlan(RequestPlan):
    """A request's plan, and what only sidecars look at."""

    __slots__ = ("control", "grant")

    def __init__(self, head: RequestHead, service: ServiceSide | None, problem: Problem | None) -> None:
        """Read the fields that frontends write."""
        super().__init__(head, service, problem)
        self.grant = grant_of(_last(head, b"swayam-grant"))
        self.control: ControlRequest | None = None
        if head.line.path.startswith(CONTROL_PATHS):
            self.control = ControlRequest(
                head.line.method,
                head.line.path,
                head.upgrade,
                _last(head, b"authorization"),
                _last(head, b"swayam-frontend"),
                _last(head, SERVICE_FIELD).decode("latin-1"),
            )

    def renewed(self, shape: RequestShape, values: list[bytes], raw_bytes: int) -> RequestPlan | None:
        """Return the plan of a head that differs in these values only, a grant among them perhaps."""
        plan = super().renewed(shape, values, raw_bytes)
        if isinstance(plan, SidecarPlan):
            index = shape.index_of(b"swayam-grant")
            plan.grant = self.grant if index < 0 else grant_of(values[index])
            plan.control = self.control
        return plan


class SidecarPlanner(RequestPlanner):
    """Plans requests before one model server."""

    plan_class = SidecarPlan


def grant_of(value: bytes) -> HoldKey | None:
    """Read "FRONTEND/HOLD"; None when it is not that."""
    match = _GRANT.fullmatch(value)
    return (match[1].decode("ascii"), int(match[2])) if match else None


def _last(head: RequestHead, name: bytes) -> bytes:
    values = [line.value for line in head.lines if line.lower == name]
    return values[-1] if values else b""
