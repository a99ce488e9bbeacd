"""The backend's side of late binding: slots, leases, holds."""

from swayam_proxy.core.admission import Admission, Grant


def test_a_free_slot_runs_a_try_and_a_taken_one_does_not() -> None:
    """Busy is said at once and nothing is remembered."""
    backend = Admission(2)
    assert backend.admit(0.0) and backend.admit(0.0)
    assert not backend.admit(0.0)
    assert backend.ended(1.0) == []
    assert backend.admit(1.0)


def test_the_oldest_request_is_granted_first_across_frontends() -> None:
    """Age counts, not the order in which the holds came."""
    backend = Admission(1)
    backend.admit(0.0)
    backend.hold(("f1", 1), 0.010, now=1.0)
    backend.hold(("f2", 1), 0.500, now=1.1)
    backend.hold(("f1", 2), 0.200, now=1.2)
    order = []
    for now in (2.0, 3.0, 4.0):
        (grant,) = backend.ended(now)
        order.append((grant.frontend, grant.hold_id))
        assert backend.admit(now, order[-1])
    assert order == [("f2", 1), ("f1", 1), ("f1", 2)]


def test_a_leased_slot_is_not_free_for_tries() -> None:
    """Between grant and request nobody else gets the slot."""
    backend = Admission(1)
    assert backend.hold(("f", 1), 0.0, 0.0) == [Grant("f", 1)]
    assert not backend.admit(0.01)
    assert backend.admit(0.02, ("f", 1))
    assert backend.running_count == 1


def test_a_lease_that_is_not_used_ends_and_the_next_gets_the_slot() -> None:
    """A lost grant costs the slot for the length of a lease, not for ever."""
    backend = Admission(1, lease_s=0.05)
    backend.hold(("f", 1), 0.0, 0.0)
    backend.hold(("g", 1), 0.0, 0.01)
    assert backend.next_wakeup() == 0.05
    assert backend.expire(0.05) == [Grant("g", 1)]
    assert not backend.admit(0.06, ("f", 1)), "the grant of f came too late and the slot is leased again"


def test_a_late_grant_is_worth_a_try() -> None:
    """If nobody else wanted the slot, the late request runs."""
    backend = Admission(1, lease_s=0.05)
    backend.hold(("f", 1), 0.0, 0.0)
    backend.expire(0.05)
    assert backend.admit(0.06, ("f", 1))


def test_cancel_removes_a_hold_or_gives_the_slot_back() -> None:
    """The same word serves both, whichever way the messages cross."""
    backend = Admission(1)
    backend.hold(("f", 1), 0.0, 0.0)
    backend.hold(("f", 2), 0.0, 0.0)
    backend.hold(("g", 1), 0.0, 0.0)
    assert backend.cancel(("f", 2), 0.01) == []
    assert backend.cancel(("f", 1), 0.02) == [Grant("g", 1)]
    assert backend.cancel(("unknown", 9), 0.02) == []


def test_a_lost_frontend_takes_its_holds_and_leases_with_it() -> None:
    """Slots leased to a dead proxy are free at once; what runs goes on."""
    backend = Admission(2)
    backend.admit(0.0)
    backend.hold(("dead", 1), 0.0, 0.0)
    backend.hold(("dead", 2), 0.0, 0.0)
    backend.hold(("alive", 1), 0.0, 0.1)
    assert backend.lost("dead", 0.2) == [Grant("alive", 1)]
    assert (backend.running_count, backend.holds_count) == (1, 0)


def test_holds_end_by_themselves_and_are_bounded() -> None:
    """A frontend that forgets to cancel cannot fill the backend."""
    backend = Admission(1, hold_ttl_s=10.0, holds_max=3)
    backend.admit(0.0)
    for hold_id in range(1, 6):
        backend.hold(("f", hold_id), 0.0, 0.0)
    assert backend.holds_count == 3
    assert backend.next_wakeup() == 10.0
    assert backend.expire(10.0) == []
    assert backend.holds_count == 0
