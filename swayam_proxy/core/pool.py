"""The ordered backends of one service as one frontend sees them: state, health, own requests in flight.

Keeps `usable`, the backends that dispatch may choose from, current after every change, so that the request
path never filters. Knows nothing of policies, load or time beyond the `now` that is handed in.
"""

from collections.abc import Iterator

from swayam_proxy.core.lifecycle import Signal, next_state
from swayam_proxy.core.vocabulary import NEVER, BackendSpec, BackendState, HealthSpec

_WEIGHT_OF_NEWEST = 0.02
_EXECUTIONS_COUNT_MIN = 100
_SPEED_BAND = 1.25
"""A backend counts as slower or faster only beyond this factor, so that chance does not show."""
_SPEED_MIN, _SPEED_MAX = 0.25, 2.0
_WORTH_SLACK = 1e-9
_FAULTS_FORGIVEN_ON_RETURN = 1
"""A backend that comes back from ejection is ejected again by its first fault (probation)."""


class Backend:
    """One place in the ordered list."""

    __slots__ = (
        "address",
        "ejected_until",
        "ejections_in_row",
        "execution_s",
        "executions_count",
        "failing_until",
        "faults_count",
        "faults_in_row",
        "idle_position",
        "incarnation",
        "index",
        "outstanding_count",
        "probes_in_row",
        "requests_count",
        "setup_failures_in_row",
        "setup_refused",
        "slots",
        "state",
        "usable",
        "warming_since",
        "worth",
    )

    def __init__(self, index: int, spec: BackendSpec, state: BackendState) -> None:
        """Begin in `state` with nothing in flight."""
        self.index = index
        self.address = spec.address
        self.slots = spec.slots
        self.state = state
        self.incarnation = 0
        self.warming_since = 0.0
        self.setup_failures_in_row = 0
        self.failing_until = 0.0
        """When its set-up, which failed, may be tried again; 0 when it has not failed."""
        self.setup_refused = False
        """The machine was full when its set-up was ordered; it is not ordered again while others will do."""
        self.outstanding_count = 0
        self.requests_count = 0
        self.faults_count = 0
        self.faults_in_row = 0
        self.probes_in_row = 0
        """Probes with the same result in a row that contradict the present state."""
        self.ejections_in_row = 0
        self.ejected_until = 0.0
        """0 when it is not ejected."""
        self.execution_s = 0.0
        """Mean of its latest execution times, once there are any."""
        self.executions_count = 0
        self.worth = 1.0
        """How many equal backends it replaces, by its slots and its speed."""
        self.usable = False
        """Whether it stands in `Pool.usable`."""
        self.idle_position = -1
        """Its place in `Pool.idle`; -1 when it is not there."""

    @property
    def ejected(self) -> bool:
        """Whether its own faults keep it out of dispatch."""
        return self.ejected_until > 0.0

    @property
    def is_hole(self) -> bool:
        """Whether it does not count, even where cold backends do."""
        return (
            self.ejected_until > 0.0
            or self.failing_until > 0.0
            or self.state is BackendState.LOST
            or self.state is BackendState.DRAINING
            or (self.setup_refused and self.state is BackendState.COLD)
        )


class Pool:
    """All backends of a service, the prefix over them, and who of them can take a request."""

    __slots__ = (
        "_health",
        "_next_return",
        "_on_demand",
        "any_warming",
        "backends",
        "ejections_denied_count",
        "fail_open",
        "idle",
        "prefix",
        "usable",
        "usable_slots",
        "version",
        "wanted",
    )

    def __init__(self, specs: tuple[BackendSpec, ...], health: HealthSpec, initial: BackendState) -> None:
        """Begin with every backend in `initial` and an empty prefix."""
        self.backends = tuple(Backend(index, spec, initial) for index, spec in enumerate(specs, start=1))
        self._health = health
        self._next_return = NEVER
        self._on_demand = initial is BackendState.COLD
        self.prefix = 0
        self.wanted = 0
        """Backends 1..wanted shall be warm: the prefix, but for what it reaches over to until they are."""
        self.usable: list[Backend] = []
        """Warm, healthy, inside the prefix: what dispatch chooses from."""
        self.usable_slots = 0
        self.any_warming = False
        """Whether any backend is being set up now."""
        self.idle: list[Backend] = []
        """Those of `usable` with no request of ours, in no particular order."""
        self.fail_open = False
        """No backend of the prefix looks healthy, so all that may still run are used."""
        self.ejections_denied_count = 0
        self.version = 0
        """Rises whenever `usable` is made anew."""

    def __iter__(self) -> Iterator[Backend]:
        """Go through the backends in order."""
        return iter(self.backends)

    def at(self, index: int) -> Backend:
        """Return the backend of that index, counted from 1."""
        return self.backends[index - 1]

    # -- the prefix --

    def set_prefix(self, prefix: int, wanted: int | None = None) -> None:
        """Use backends 1..prefix from now on, and want 1..`wanted` to be warm: the same unless told."""
        self.wanted = prefix if wanted is None else wanted
        if prefix != self.prefix:
            self.prefix = prefix
            self._renew()

    def prefix_with(self, needs: int, *, counting_coming: bool) -> int:
        """Return the least n such that 1..n is worth `needs` backends that work, or the whole list.

        Holes (lost, ejected, draining) are not counted. Where set-up is possible cold and warming ones count
        (`counting_coming`): they are, or will be, on their way.
        """
        if needs <= 0:
            return 0
        found = 0.0
        for backend in self.backends:
            if backend.is_hole:
                continue
            if backend.state is BackendState.WARM or counting_coming:
                found += backend.worth
                if found >= needs - _WORTH_SLACK:
                    return backend.index
        return len(self.backends)

    def reaching_over(self, prefix: int, needs: int) -> int:
        """Return the prefix that has the worth of `needs` warm backends now, if warm ones beyond can help.

        What is warm behind a backend that is set up again is of use until that one is warm.
        """
        found = 0.0
        for backend in self.backends:
            if backend.index > prefix and found >= needs - _WORTH_SLACK:
                break
            if backend.state is BackendState.WARM and not (backend.ejected_until or backend.failing_until):
                found += backend.worth
                if backend.index > prefix:
                    prefix = backend.index
        return prefix

    def next_warm_after(self, index: int) -> Backend | None:
        """Return the first healthy warm backend behind `index`, or None."""
        for backend in self.backends[index:]:
            if backend.state is BackendState.WARM and not backend.ejected:
                return backend
        return None

    def _renew(self) -> None:
        inside = self.backends[: self.prefix]
        usable = [b for b in inside if b.state is BackendState.WARM and not b.ejected]
        self.fail_open = False
        if not usable:
            # a lost backend may still serve where only probes say so, not where its sidecar is out of reach
            hopeful = (BackendState.WARM,) if self._on_demand else (BackendState.WARM, BackendState.LOST)
            usable = [b for b in inside if b.state in hopeful]
            self.fail_open = bool(usable)
        for backend in self.usable:
            backend.usable = False
            backend.idle_position = -1
        for backend in usable:
            backend.usable = True
        self.usable = usable
        self.usable_slots = sum(b.slots for b in usable)
        self.any_warming = any(b.state is BackendState.WARMING for b in self.backends)
        self.idle = [b for b in usable if b.outstanding_count == 0]
        for position, backend in enumerate(self.idle):
            backend.idle_position = position
        self.version += 1

    # -- slots --

    def book(self, backend: Backend) -> None:
        """Take one slot of the backend for a request of ours."""
        backend.requests_count += 1
        if backend.outstanding_count == 0 and backend.idle_position >= 0:
            self._leave_idle(backend)
        backend.outstanding_count += 1

    def free(self, backend: Backend) -> None:
        """Give one slot back."""
        assert backend.outstanding_count > 0, f"backend {backend.index} has no slot to give back"
        backend.outstanding_count -= 1
        if backend.outstanding_count == 0 and backend.usable:
            backend.idle_position = len(self.idle)
            self.idle.append(backend)

    def _leave_idle(self, backend: Backend) -> None:
        last = self.idle.pop()
        if last is not backend:
            self.idle[backend.idle_position] = last
            last.idle_position = backend.idle_position
        backend.idle_position = -1

    def executed(self, backend: Backend, execution_s: float) -> None:
        """Take in how long one execution took at a backend."""
        count = backend.executions_count = backend.executions_count + 1
        weight = _WEIGHT_OF_NEWEST if count * _WEIGHT_OF_NEWEST > 1.0 else 1.0 / count
        backend.execution_s += weight * (execution_s - backend.execution_s)

    def weigh(self, execution_mean_s: float) -> None:
        """Find out what each backend is worth where executions take `execution_mean_s` in the mean.

        The unit is a backend of the list's first slots and of mean speed.
        """
        unit = self.backends[0].slots
        for backend in self.backends:
            speed = 1.0
            if backend.executions_count >= _EXECUTIONS_COUNT_MIN and backend.execution_s > 0.0:
                ratio = execution_mean_s / backend.execution_s
                if not 1.0 / _SPEED_BAND <= ratio <= _SPEED_BAND:
                    speed = min(_SPEED_MAX, max(_SPEED_MIN, ratio))
            backend.worth = backend.slots / unit * speed

    # -- health --

    def signal(self, backend: Backend, signal: Signal) -> bool:
        """Let the backend hear `signal`; return whether its state changed."""
        state = next_state(backend.state, signal)
        if state is backend.state:
            return False
        backend.state = state
        backend.probes_in_row = 0
        if state is BackendState.WARM:
            backend.faults_in_row = 0
        self._renew()
        return True

    def probed(self, backend: Backend, *, healthy: bool) -> bool:
        """Take in the result of an active check; return whether the backend fell or rose."""
        contradicts = healthy if backend.state is BackendState.LOST else not healthy
        if not contradicts or backend.state not in (BackendState.WARM, BackendState.LOST):
            backend.probes_in_row = 0
            return False
        backend.probes_in_row += 1
        needed = self._health.rise_count if healthy else self._health.fall_count
        if backend.probes_in_row < needed:
            return False
        return self.signal(backend, Signal.CONTACT_REGAINED if healthy else Signal.CONTACT_LOST)

    def succeeded(self, backend: Backend) -> None:
        """Forget the faults of a backend that gave a whole answer."""
        backend.faults_in_row = 0
        backend.ejections_in_row = 0

    def faulted(self, backend: Backend, now: float) -> bool:
        """Count a fault; return whether it ejected the backend."""
        backend.faults_count += 1
        backend.faults_in_row += 1
        if backend.ejected or backend.faults_in_row < self._health.eject_after_faults:
            return False
        ejected_count = sum(1 for b in self.backends if b.ejected)
        if ejected_count + 1 > self._health.ejected_share_max * len(self.backends):
            self.ejections_denied_count += 1
            return False
        duration_s = min(self._health.eject_max_s, self._health.eject_base_s * 2.0**backend.ejections_in_row)
        backend.ejections_in_row = min(backend.ejections_in_row + 1, 30)
        backend.ejected_until = now + duration_s
        self._next_return = min(self._next_return, backend.ejected_until)
        self._renew()
        return True

    def pause(self, backend: Backend, until: float) -> None:
        """Keep a backend whose set-up failed out of the prefix until then."""
        backend.failing_until = until
        self._next_return = min(self._next_return, until)

    def next_return(self) -> float:
        """Return when the next ejection, or pause after a failed set-up, ends."""
        return self._next_return

    def readmit(self, now: float) -> bool:
        """End the ejections and pauses that are over; return whether there were any."""
        if now < self._next_return:
            return False
        returning = [b for b in self.backends if b.ejected and b.ejected_until <= now]
        for backend in returning:
            backend.ejected_until = 0.0
            backend.faults_in_row = self._health.eject_after_faults - _FAULTS_FORGIVEN_ON_RETURN
        paused = [b for b in self.backends if b.failing_until and b.failing_until <= now]
        for backend in paused:
            backend.failing_until = 0.0
        ends = (end for b in self.backends for end in (b.ejected_until, b.failing_until) if end)
        self._next_return = min(ends, default=NEVER)
        if returning:
            self._renew()
        return bool(returning or paused)
