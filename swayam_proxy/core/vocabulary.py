"""The words of the project as types: what a service, a backend and a promise are.

Knows no behaviour. A backend's index is its place in the ordered list, counted from 1, so that the
in-use prefix n is "every index <= n".
"""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Protocol


class Rng(Protocol):
    """The chance that is handed in: the two methods of `random.Random` that the rules use."""

    def random(self) -> float:
        """Return a float in [0, 1)."""

    def randrange(self, stop: int, /) -> int:
        """Return an integer in [0, stop)."""


class BackendState(StrEnum):
    """What a backend is; "in use" is no state but the comparison of its index with the prefix."""

    COLD = "cold"
    WARMING = "warming"
    WARM = "warm"
    DRAINING = "draining"
    LOST = "lost"


class DispatchPolicy(StrEnum):
    """How a frontend chooses the backend of a request (design: dispatch decides how many are needed)."""

    RANDOM = "random"
    LEAST_OUTSTANDING = "least-outstanding"
    P2C = "p2c"
    RETRY = "retry"
    JOIN_IDLE_QUEUE = "join-idle-queue"
    CENTRAL_QUEUE = "central-queue"
    LATE_BINDING = "late-binding"


class Outcome(StrEnum):
    """How a booked request ended, which decides what its measurement is worth."""

    SERVED = "served"
    """A whole answer: its execution time feeds the model."""
    FAILED = "failed"
    """The backend said itself that it failed (5xx): breaks the promise, and says nothing of execution."""
    UNUSABLE = "unusable"
    """The client left, or the backend refused or broke: it only frees the slot."""
    OVERDUE = "overdue"
    """Cut off by a timeout: breaks the promise and counts as "at least this long"."""


class Fault(StrEnum):
    """What a backend did wrong, as passive health checks see it."""

    REFUSED = "refused"
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    MALFORMED = "malformed"
    TIMEOUT = "timeout"
    TLS = "tls"


class RefusalReason(StrEnum):
    """Why a request is not taken, in the words of metrics, logs and the problem body."""

    QUEUE_FULL = "queue_full"
    WAIT_TOO_LONG = "wait_too_long"
    DEADLINE = "deadline"
    NO_BACKEND = "no_backend"
    RETRY_BUDGET = "retry_budget"
    DRAINING = "draining"


class DecisionReason(StrEnum):
    """Which constraint binds a decision."""

    GROW = "grow"
    HOLD = "hold"
    """A smaller answer is waiting for the shrink hold to pass."""
    SHRINK = "shrink"
    STEADY = "steady"
    MIN = "min"
    MAX = "max"
    INFEASIBLE = "infeasible"
    NO_SAMPLES = "no_samples"
    """Nothing was measured yet: the configured expectation is used."""


@dataclass(frozen=True, slots=True)
class Sla:
    """The promise: at least `level` of requests answered within `response_time_s`.

    It must hold even if the rate rises to `burst` times the forecast; None means "auto": the forecast's
    own upper quantile decides.
    """

    response_time_s: float
    level: float
    burst: float | None = 2.0


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """One place in the ordered list: where it listens and how many requests it runs at once."""

    address: str
    slots: int = 1


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """What leads a request to a service; every condition given must hold, the most specific wins."""

    path_prefix: str = "/"
    host: str | None = None
    """Lower case, without a port."""
    headers: tuple[tuple[str, str], ...] = ()
    """Pairs of lower-case field name and exact value."""
    strip_prefix: bool = False


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """When a backend counts as down, by active checks and by its own faults."""

    rise_count: int = 2
    fall_count: int = 3
    eject_after_faults: int = 3
    """Consecutive faults that eject a backend."""
    eject_base_s: float = 5.0
    """The first ejection; every further one in a row doubles it."""
    eject_max_s: float = 60.0
    ejected_share_max: float = 0.5
    """Of the prefix; beyond it dispatch fails open and says so."""


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Bounds of the frontend's own queue of one service."""

    count_max: int = 1000
    wait_s_max: float = 10.0
    """A request whose expected wait is longer is refused on arrival; one that waited longer is refused."""
    outstanding_max: int = 16
    """Random dispatch: requests of ours that one backend may hold, beyond its slots."""


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """Another backend for a request of which nothing was sent, within a budget."""

    attempts_max: int = 3
    budget_ratio: float = 0.2
    """Retries per first attempt, over a window of some seconds, beyond a small constant."""


@dataclass(frozen=True, slots=True)
class LateBindingSpec:
    """How a request looks for a slot where backends have sidecars."""

    holds_count: int | None = None
    """Backends at which a request is held; None: by how tight the promise is (see `holds_for`)."""
    tries_max: int = 2
    """Backends that are tried before it is held."""
    blind_tries_max: int = 1
    """Of these, tries at backends that did not say that they are idle."""
    refresh_s: float = 1.0
    """Holds without an answer for so long are placed anew."""


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One model behind one route, with one promise and one ordered list of backends."""

    name: str
    backends: tuple[BackendSpec, ...]
    sla: Sla
    routes: tuple[RouteSpec, ...] = (RouteSpec(),)
    dispatch: DispatchPolicy = DispatchPolicy.P2C
    setup_s: float = 0.0
    """Expected time from cold to warm; 0 for backends that always run. The measured one replaces it."""
    execution_s: float = 0.1
    """Expected mean execution time, used until enough were measured."""
    execution_cv: float = 0.3
    prefix_min: int = 1
    prefix_max: int | None = None
    """None: the length of the list."""
    prefix_start: int | None = None
    """Backends to begin with. None: the whole list where backends always run, `prefix_min` where using one
    means setting it up."""
    observe_only: bool = False
    """Decide and report, but send to the whole list."""
    shrink_hold_s: float = 30.0
    tick_s: float = 1.0
    health: HealthSpec = field(default_factory=HealthSpec)
    queue: QueueSpec = field(default_factory=QueueSpec)
    retry: RetrySpec = field(default_factory=RetrySpec)
    late_binding: LateBindingSpec = field(default_factory=LateBindingSpec)
    set_up_on_demand: bool = False
    """True where a sidecar or a provisioner can set backends up: they begin COLD. Else they begin WARM."""
    shares_machines: bool = False
    """Its backends stand on machines of a pool, which other services use, too."""


@dataclass(frozen=True, slots=True)
class FrontendSpec:
    """What one frontend is told at its start."""

    frontend_id: str
    services: tuple[ServiceSpec, ...]
    frontends_count: int = 1
    """F until gossip knows better."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many backends a service was judged to need, and why; everything that is needed to judge again.

    Rates are requests per second, times are seconds. `global_forecast_per_s` is expected at `at + horizon_s`,
    give or take `forecast_spread_per_s`; `forecast_per_s` is this frontend's part of it; `load_per_s` is the
    global one with the burst applied, which n must carry.
    """

    service_name: str
    at: float
    prefix: int
    """Backends 1..prefix get calls."""
    needs: int
    """How many working backends are in force; holes in the prefix come on top."""
    model_needs: int
    """What the model asks for at this tick, before the user's bounds and the hold."""
    reason: DecisionReason
    binding: str
    """What the model says binds: "promise", "load", "execution" or "idle" (`core/model/capacity.py`)."""
    text: str
    rate_per_s: float
    global_rate_per_s: float
    global_forecast_per_s: float
    forecast_per_s: float
    forecast_spread_per_s: float
    load_per_s: float
    dispersion: float
    horizon_s: float
    frontends_count: int
    policy: DispatchPolicy
    execution_mean_s: float
    execution_cv: float
    samples_count: float
    fit_ks: float
    feasible: bool
    utilisation: float
    attainment: tuple[tuple[int, float], ...]
    """(n, share within the promise) around `model_needs`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not taken, and when it is worth coming back (seconds, at least 1)."""

    reason: RefusalReason
    retry_after_s: float


NEVER = inf
"""The deadline of what has none, and the wake-up of what waits for nothing."""
