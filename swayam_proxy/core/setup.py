"""Set-up of cold backends ahead of need: each ordered once, failures backed off, the time it takes measured.

Knows the pool and what is reported of it, not the load. A backend whose set-up failed, or was refused by a
machine that is full, is a hole in the prefix until its pause is over, so that the next index takes its place.
"""

from collections.abc import Iterator
from itertools import repeat

from swayam_proxy.core.commands import Command, WarmBackend
from swayam_proxy.core.lifecycle import Signal
from swayam_proxy.core.pool import Backend, Pool
from swayam_proxy.core.vocabulary import NEVER, BackendState, ServiceSpec

_PAUSE_S_MIN = 1.0
_PAUSE_S_MAX = 60.0
_REFUSED_PAUSE_S_MAX = 2.0
"""Asking a full machine again costs two lines, and its room may be wanted at any time."""
_PATIENCE = 3.0
"""A set-up counts as failed after so many times the expected duration, and `_PATIENCE_S` more."""
_PATIENCE_S = 10.0
_WEIGHT_OF_NEWEST = 0.3
_WORTH_SLACK = 1e-9
_QUIET_S = 5.0
"""Without a call for so long, and for as long as a set-up takes, a service claims its machines less."""
_RENEW_S = 2.0
"""Sidecars must let two of these pass before they call themselves idle."""


class SetUp:
    """Orders set-ups for one service at one frontend."""

    __slots__ = ("_booked_count", "_called_at", "_counts", "_pool", "_renew_at", "_spec", "duration_s")

    def __init__(self, spec: ServiceSpec, pool: Pool) -> None:
        """Expect a set-up to take as long as the service says, until one has been measured."""
        self._spec = spec
        self._pool = pool
        self.duration_s = spec.setup_s
        """From cold to warm, as measured: a mean that forgets."""
        self._renew_at = 0.0
        self._called_at = -NEVER
        self._booked_count = 0
        self._counts: dict[int, int] = {}
        """Requests of ours to each backend until the last renewal, by index."""

    def order_missing(self, now: float) -> list[Command]:
        """Order every cold backend of the prefix; one that was ordered is warming and not ordered again."""
        commands: list[Command] = []
        is_quiet = self._spec.shares_machines and self._is_quiet(now)
        for backend, claim in self._wanted():
            if backend.state is BackendState.COLD and not backend.is_hole:
                claim = claim + 1 if claim and is_quiet else claim
                backend.incarnation += 1
                backend.warming_since = now
                self._pool.signal(backend, Signal.SETUP_ORDERED)
                commands.append(WarmBackend(self._spec.name, backend.index, backend.incarnation, claim))
        return commands

    def forgive(self, needs: int) -> bool:
        """Let machines that were full be asked again, where the others do not suffice; return whether any.

        A service that has what it needs stays where it is, however far behind in its order: to move back
        would cost set-ups, and room that others want. One that needs nothing begins anew.
        """
        lacking = float(needs)
        for backend in self._pool:
            if backend.state in (BackendState.WARM, BackendState.WARMING) and not backend.is_hole:
                lacking -= backend.worth
        found = False
        for backend in self._pool:
            if backend.setup_refused and (
                needs == 0 or (lacking > _WORTH_SLACK and not backend.failing_until)
            ):
                backend.setup_refused = False
                lacking -= backend.worth
                found = True
        return found

    def called(self, now: float) -> None:
        """Requests wait for a backend."""
        self._called_at = now

    def _is_quiet(self, now: float) -> bool:
        """Say whether nobody has called for so long that others should come first on shared machines."""
        booked_count = sum(backend.requests_count for backend in self._pool.backends)
        if booked_count != self._booked_count:
            self._booked_count, self._called_at = booked_count, now
        return now - self._called_at >= max(_QUIET_S, self.duration_s)

    def _wanted(self) -> Iterator[tuple[Backend, int | None]]:
        """Go through the backends that shall be warm, with the claim to each where machines are shared."""
        spec, rank = self._spec, 0
        wanted = self._pool.backends[: self._pool.wanted]
        if not spec.shares_machines:
            yield from zip(wanted, repeat(None))
            return
        for backend in wanted:
            rank += not backend.is_hole
            yield backend, max(0, rank - spec.prefix_min)

    def renew(self, now: float) -> list[Command]:
        """Order once more what is warm and in use but gets no requests of ours, lest it decommission itself.

        Whoever is warm leaves the order alone, but takes it as a sign that it is wanted. Machines that are
        shared are told of all that is in use, since claims end by themselves.
        """
        if now < self._renew_at:
            return []
        self._renew_at = now + _RENEW_S
        self._is_quiet(now)  # what has been booked until now must not look new later
        before, self._counts = self._counts, {}
        commands: list[Command] = []
        for backend, claim in self._wanted():
            if backend.state is BackendState.WARM:
                self._counts[backend.index] = backend.requests_count
                if claim is not None or before.get(backend.index) == backend.requests_count:
                    commands.append(WarmBackend(self._spec.name, backend.index, backend.incarnation, claim))
        return commands

    def reported(self, backend: Backend, state: BackendState, setup_s: float | None, now: float) -> None:
        """Learn from a report, before it is applied to the backend."""
        if setup_s is not None and state is BackendState.WARM and backend.state is not BackendState.WARM:
            self.duration_s += _WEIGHT_OF_NEWEST * (setup_s - self.duration_s)
        if state is BackendState.WARMING and backend.state is not BackendState.WARMING:
            backend.warming_since = now  # another frontend has ordered it
        if state in (BackendState.WARM, BackendState.WARMING):
            backend.failing_until = 0.0  # another frontend has tried again
            backend.setup_refused = False
        if state is BackendState.WARM:
            backend.setup_failures_in_row = 0
        elif backend.state is BackendState.WARMING and state in (BackendState.COLD, BackendState.LOST):
            self._failed(backend, now)

    def refused(self, backend: Backend, incarnation: int, now: float) -> bool:
        """Take in that a machine is full; False when it is news of another set-up than the present one."""
        if backend.state is not BackendState.WARMING or backend.incarnation != incarnation:
            return False
        backend.incarnation -= 1  # it has not begun: whoever is let in next begins it
        self._failed(backend, now, pause_s_max=_REFUSED_PAUSE_S_MAX)
        backend.setup_refused = True
        return self._pool.signal(backend, Signal.SETUP_FAILED)

    def _failed(self, backend: Backend, now: float, pause_s_max: float = _PAUSE_S_MAX) -> None:
        pause_s = min(pause_s_max, _PAUSE_S_MIN * 2.0**backend.setup_failures_in_row)
        backend.setup_refused = False
        backend.setup_failures_in_row = min(backend.setup_failures_in_row + 1, 30)
        self._pool.pause(backend, now + pause_s)

    def give_up_overdue(self, now: float) -> bool:
        """Count set-ups that take far too long as failed; return whether there were any."""
        if not self._pool.any_warming:
            return False
        limit_s = _PATIENCE * self.duration_s + _PATIENCE_S
        found = False
        for backend in self._pool:
            if backend.state is BackendState.WARMING and now - backend.warming_since > limit_s:
                self._failed(backend, now)
                self._pool.signal(backend, Signal.SETUP_FAILED)
                found = True
        return found

    def warm_in_s(self, now: float) -> float:
        """Return how long until the first warming backend is expected to be warm; 0 when none is warming."""
        began = min((b.warming_since for b in self._pool if b.state is BackendState.WARMING), default=NEVER)
        return max(0.0, began + self.duration_s - now) if began < NEVER else 0.0
