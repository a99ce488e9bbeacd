"""What ended requests of one service teach: how well the promise is kept, how long executions take.

A measurement says how it ended, for that decides what it is worth: a whole answer feeds the model, one cut
off by a timeout counts as "at least this long", a client that left says nothing.
"""

from swayam_proxy.core.measurement import Measurement
from swayam_proxy.core.model.execution import ExecutionStatistics, ExecutionSummary, merge
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import Outcome

_SERVED, _FAILED, _OVERDUE = Outcome.SERVED, Outcome.FAILED, Outcome.OVERDUE
"""To look a member up costs more than all else that is done with it for a request."""


class Learning:
    """The promise's record and the execution times of one service at one frontend."""

    __slots__ = ("_executions", "_of_peers", "_response_time_s", "measurement")

    def __init__(self, response_time_s: float, now: float) -> None:
        """Judge answers by `response_time_s`."""
        self._response_time_s = response_time_s
        self._executions = ExecutionStatistics()
        self._of_peers: ExecutionSummary | None = None
        self.measurement = Measurement(now)

    def ended(
        self, ticket: Ticket, outcome: Outcome, now: float, execution_s: float | None, broken: bool
    ) -> float | None:
        """Take in the end of a booked request; return its execution time where it is known.

        `broken` tells that the backend was at fault. Without the backend's own figure the time at the backend
        is the execution time, provided that no other request of ours was there when it came.
        """
        if outcome is _SERVED:
            if execution_s is None and ticket.alone:
                execution_s = now - ticket.booked_at
            if execution_s is not None:
                self._executions.observe(execution_s, now)
            self.measurement.ended(now, now - ticket.arrived_at <= self._response_time_s)
            return execution_s
        if outcome is _OVERDUE:
            self._executions.observe_at_least(now - ticket.booked_at, now)
            self.measurement.ended(now, False)
        elif broken or outcome is _FAILED:
            self.measurement.ended(now, False)
        return None

    def refused(self, now: float) -> None:
        """Take in that a request was not taken: the promise is broken for it."""
        self.measurement.ended(now, False)

    def peers_measured(self, execution: tuple[float, ...]) -> None:
        """Take in what the other frontends have measured, merged; it replaces what was known of them."""
        self._of_peers = ExecutionSummary.from_numbers(execution) if execution else None

    def own_executions(self, now: float) -> ExecutionSummary:
        """Return this frontend's own statistics of execution times, for its peers."""
        return self._executions.summary(now)

    def executions(self, now: float) -> ExecutionSummary:
        """Return the statistics of execution times, merged with the peers' ones."""
        own = self._executions.summary(now)
        return own if self._of_peers is None else merge([own, self._of_peers])
