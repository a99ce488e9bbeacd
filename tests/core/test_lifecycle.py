"""A backend's life as a table."""

import pytest

from swayam_proxy.core.errors import LifecycleError
from swayam_proxy.core.lifecycle import REPORTED, TRANSITIONS, Signal, next_state
from swayam_proxy.core.vocabulary import BackendState


@pytest.mark.parametrize("state", list(BackendState))
@pytest.mark.parametrize("reported", list(BackendState))
def test_report_of_a_state_always_holds(state: BackendState, reported: BackendState) -> None:
    """Whatever we thought of a backend, what it says of itself is what it is."""
    assert next_state(state, REPORTED[reported]) is reported


def test_set_up_leads_from_cold_to_warming_only() -> None:
    """We order set-up of cold backends; an order for any other state is our own mistake."""
    assert next_state(BackendState.COLD, Signal.SETUP_ORDERED) is BackendState.WARMING
    for state in set(BackendState) - {BackendState.COLD}:
        with pytest.raises(LifecycleError, match=state.value):
            next_state(state, Signal.SETUP_ORDERED)


def test_a_lost_backend_is_warm_when_contact_is_regained() -> None:
    """Contact can be regained only where it was lost."""
    assert next_state(BackendState.LOST, Signal.CONTACT_REGAINED) is BackendState.WARM
    with pytest.raises(LifecycleError):
        next_state(BackendState.WARM, Signal.CONTACT_REGAINED)


def test_every_state_can_be_left_and_reached() -> None:
    """No state is a trap, none is decoration."""
    for state in BackendState:
        assert any(s is state and to is not state for (s, _), to in TRANSITIONS.items())
        assert any(s is not state and to is state for (s, _), to in TRANSITIONS.items())
