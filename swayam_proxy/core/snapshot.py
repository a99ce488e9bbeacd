"""What a frontend looks like from outside: the one frozen value that `/state`, `/metrics`, the simulator's
reports and the tests read.
"""

from dataclasses import dataclass

from swayam_proxy.core.pool import Pool
from swayam_proxy.core.vocabulary import BackendState, Decision, DispatchPolicy, Sla


@dataclass(frozen=True, slots=True)
class BackendSnapshot:
    """One place in the ordered list, seen by one frontend."""

    index: int
    address: str
    state: BackendState
    slots: int
    outstanding_count: int
    in_use: bool
    healthy: bool
    """Not lost by active checks."""
    ejected: bool
    """Kept out of dispatch for its own faults."""
    requests_count: int
    faults_count: int
    machine_full: bool = False
    """Its machine had no room when it was last wanted."""


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """One service, seen by one frontend. Rates are this frontend's own, per second."""

    name: str
    rate_per_s: float
    forecast_per_s: float
    prefix: int
    prefix_min: int
    prefix_max: int
    needs: int
    share_within: float | None
    """Share of the last minutes' requests that met the response time; None without traffic."""
    sla: Sla
    dispatch: DispatchPolicy
    observe_only: bool
    fail_open: bool
    queue_count: int
    in_flight_count: int
    requests_count: int
    good_count: int
    refusals: dict[str, int]
    retries: dict[str, int]
    """Second attempts by the fault that made them necessary."""
    ejections_denied_count: int
    decision: Decision | None
    backends: tuple[BackendSnapshot, ...]


@dataclass(frozen=True, slots=True)
class FrontendSnapshot:
    """One frontend."""

    frontend_id: str
    frontends_estimate: int
    draining: bool
    services: tuple[ServiceSnapshot, ...]


def backend_snapshots(pool: Pool) -> tuple[BackendSnapshot, ...]:
    """Return what is known of each backend of the pool, in order."""
    return tuple(
        BackendSnapshot(
            index=b.index,
            address=b.address,
            state=b.state,
            slots=b.slots,
            outstanding_count=b.outstanding_count,
            in_use=b.index <= pool.prefix,
            healthy=b.state is not BackendState.LOST,
            ejected=b.ejected,
            requests_count=b.requests_count,
            faults_count=b.faults_count,
            machine_full=b.setup_refused,
        )
        for b in pool
    )
