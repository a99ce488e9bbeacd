"""A backend's life as a table: what it becomes when something is heard of it.

"In use" and "spare" are not states but a comparison of the index with the prefix. A missing pair is an error,
never a silent stay. The picture in ARCHITECTURE.md is drawn from this table.
"""

from enum import StrEnum

from swayam_proxy.core.errors import LifecycleError
from swayam_proxy.core.vocabulary import BackendState

_COLD, _WARMING, _WARM, _DRAINING, _LOST = BackendState


class Signal(StrEnum):
    """What can be heard of a backend."""

    SETUP_ORDERED = "setup_ordered"
    """We ask for a set-up."""
    SETUP_FAILED = "setup_failed"
    REPORTED_COLD = "reported_cold"
    REPORTED_WARMING = "reported_warming"
    REPORTED_WARM = "reported_warm"
    REPORTED_DRAINING = "reported_draining"
    CONTACT_LOST = "contact_lost"
    CONTACT_REGAINED = "contact_regained"


_REPORTS: dict[Signal, BackendState] = {
    Signal.REPORTED_COLD: _COLD,
    Signal.REPORTED_WARMING: _WARMING,
    Signal.REPORTED_WARM: _WARM,
    Signal.REPORTED_DRAINING: _DRAINING,
    Signal.CONTACT_LOST: _LOST,
}

TRANSITIONS: dict[tuple[BackendState, Signal], BackendState] = {
    (_COLD, Signal.SETUP_ORDERED): _WARMING,
    (_WARMING, Signal.SETUP_FAILED): _COLD,
    (_LOST, Signal.CONTACT_REGAINED): _WARM,
} | {(state, signal): reported for state in BackendState for signal, reported in _REPORTS.items()}
"""A backend is heard of from several sides (its own report, probes, other frontends' orders), so what it
reports of itself always holds, whatever we thought before; our own signals have one place each."""


REPORTED: dict[BackendState, Signal] = {
    BackendState.COLD: Signal.REPORTED_COLD,
    BackendState.WARMING: Signal.REPORTED_WARMING,
    BackendState.WARM: Signal.REPORTED_WARM,
    BackendState.DRAINING: Signal.REPORTED_DRAINING,
    BackendState.LOST: Signal.CONTACT_LOST,
}
"""The signal that a backend's own report of a state amounts to."""


def next_state(state: BackendState, signal: Signal) -> BackendState:
    """Return what a backend in `state` becomes on `signal`.

    Raises:
        LifecycleError: the pair has no place in the table.
    """
    try:
        return TRANSITIONS[state, signal]
    except KeyError:
        raise LifecycleError(f"a backend that is {state} cannot hear {signal}") from None
