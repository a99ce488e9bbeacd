"""Set-up of backends by one frontend among others: orders, renewals, failures, the time that it takes."""

from swayam_proxy.core.commands import WarmBackend
from swayam_proxy.core.lifecycle import REPORTED
from swayam_proxy.core.pool import Pool
from swayam_proxy.core.setup import SetUp
from swayam_proxy.core.vocabulary import BackendSpec, BackendState, HealthSpec, ServiceSpec, Sla

COLD, WARMING, WARM, DRAINING, LOST = BackendState


class Rules:
    """A pool of cold backends and its set-up."""

    def __init__(self, count: int = 3, expected_s: float = 2.0, **spec: object) -> None:
        self.pool = Pool(tuple(BackendSpec(f"b{k}") for k in range(count)), HealthSpec(), COLD)
        self.setup = SetUp(ServiceSpec("m", (), Sla(1.0, 0.99), setup_s=expected_s, **spec), self.pool)  # type: ignore[arg-type]
        self.pool.set_prefix(count)

    def report(self, index: int, state: BackendState, now: float, setup_s: float | None = None) -> None:
        """Let a backend say what it is."""
        backend = self.pool.at(index)
        self.setup.reported(backend, state, setup_s, now)
        self.pool.signal(backend, REPORTED[state])


def test_each_cold_backend_is_ordered_once() -> None:
    """One order for each cold backend of the prefix; what warms is not ordered again."""
    rules = Rules()
    rules.report(2, WARM, 0.0)
    assert rules.setup.order_missing(1.0) == [WarmBackend("m", 1, 1), WarmBackend("m", 3, 1)]
    assert rules.setup.order_missing(1.1) == []


def test_set_up_that_another_frontend_ordered_has_its_full_time() -> None:
    """A backend that we only heard of is given up as late as one that we ordered ourselves."""
    rules = Rules(1)
    rules.report(1, WARMING, 100.0)
    assert rules.setup.warm_in_s(100.5) == 1.5
    assert not rules.setup.give_up_overdue(115.9)
    assert rules.pool.at(1).state is WARMING
    rules.report(1, WARMING, 110.0)
    assert rules.setup.give_up_overdue(116.1), "hearing it again does not begin it anew"


def test_time_is_learnt_once_per_set_up() -> None:
    """Every report carries the time of the last set-up; only the one that ends it teaches."""
    rules = Rules(2)
    rules.report(1, WARMING, 0.0, 9.0)
    rules.report(1, WARM, 4.0, 4.0)
    learnt_s = rules.setup.duration_s
    assert 2.0 < learnt_s < 4.0
    rules.report(1, WARM, 5.0, 4.0)
    rules.report(1, DRAINING, 6.0, 4.0)
    rules.report(1, COLD, 7.0, 4.0)
    assert rules.setup.duration_s == learnt_s


def test_wanted_backends_without_requests_are_told_so() -> None:
    """A warm backend of the prefix with no request of ours since the last look is ordered under its present
    number; a busy one, a cold one and one behind the prefix are not.
    """
    rules = Rules(4)
    for index in (1, 2, 3):
        rules.pool.at(index).incarnation = 7
        rules.report(index, WARM, 0.0)
    rules.pool.set_prefix(2)
    assert rules.setup.renew(0.0) == [], "nothing is known of the time before"
    rules.pool.book(rules.pool.at(2))
    assert rules.setup.renew(1.0) == [], "not yet"
    assert rules.setup.renew(2.0) == [WarmBackend("m", 1, 7)]
    assert rules.setup.renew(4.0) == [WarmBackend("m", 1, 7), WarmBackend("m", 2, 7)]


def test_failed_set_up_pauses_longer_each_time() -> None:
    """A backend that falls back from WARMING is left alone, for longer after each failure in a row."""
    rules = Rules(1)
    pauses = []
    for begin in (0.0, 100.0, 200.0):
        rules.pool.at(1).failing_until = 0.0
        assert len(rules.setup.order_missing(begin)) == 1
        rules.report(1, COLD, begin + 1.0)
        pauses.append(rules.pool.at(1).failing_until - begin - 1.0)
        assert rules.setup.order_missing(begin + 1.1) == []
    assert pauses == sorted(set(pauses))


def test_a_full_machine_is_passed_over_and_asked_again_where_others_do_not_suffice() -> None:
    """A refusal makes a hole at once, without a set-up having been counted; its pauses stay short; news of an
    earlier set-up says nothing; and whoever is let in after all, by another's order, is no hole any more.
    """
    rules = Rules(2)
    backend = rules.pool.at(1)
    for begin, pause_s in ((0.0, 1.0), (10.0, 2.0), (20.0, 2.0)):
        backend.failing_until = 0.0
        rules.setup.forgive(2)
        assert rules.setup.order_missing(begin)[0] == WarmBackend("m", 1, 1)
        assert not rules.setup.refused(backend, 7, begin)
        assert rules.setup.refused(backend, 1, begin)
        assert (backend.state, backend.incarnation, backend.setup_refused) == (COLD, 0, True)
        assert backend.is_hole and backend.failing_until == begin + pause_s
        assert not rules.setup.refused(backend, 1, begin), "once"
        assert not rules.setup.forgive(2), "not before its pause is over"
    rules.report(1, WARMING, 41.0)
    assert not backend.is_hole and not backend.setup_refused


def test_a_service_that_has_what_it_needs_does_not_move_back() -> None:
    """Where a later machine has taken the place of a full one, that stays a hole; it is asked again when more
    is needed, or when nothing was and all begins anew.
    """
    rules = Rules(3)
    first = rules.pool.at(1)
    rules.setup.order_missing(0.0)
    assert rules.setup.refused(first, 1, 0.0)
    for index in (2, 3):
        rules.report(index, WARM, 1.0)
    first.failing_until = 0.0
    assert not rules.setup.forgive(2)
    assert first.is_hole and rules.pool.prefix_with(2, counting_coming=True) == 3
    assert rules.setup.order_missing(2.0) == []
    assert rules.setup.forgive(3) and not first.is_hole
    rules.setup.order_missing(3.0)
    assert rules.setup.refused(first, 1, 3.0)
    assert rules.setup.forgive(0) and not first.setup_refused


def test_orders_to_shared_machines_tell_how_much_they_are_wanted() -> None:
    """Claims count the backends beyond the least number, holes left out; all that is in use is told again;
    and a service that nobody has called for a while claims what is beyond its least number less.
    """
    rules = Rules(5, prefix_min=1, shares_machines=True)
    rules.setup.called(0.0)
    rules.report(2, DRAINING, 0.0)
    assert rules.setup.order_missing(0.0) == [WarmBackend("m", 1, 1, 0)] + [
        WarmBackend("m", index, 1, index - 2) for index in (3, 4, 5)
    ]
    for index in (1, 3):
        rules.report(index, WARM, 3.0)
    assert rules.setup.renew(4.0) == [WarmBackend("m", 1, 1, 0), WarmBackend("m", 3, 1, 1)]
    rules.pool.book(rules.pool.at(1))
    assert len(rules.setup.renew(6.0)) == 2, "requests do not say how much it is wanted"
    for index in (1, 3):
        rules.report(index, COLD, 7.0)
    assert rules.setup.order_missing(8.0) == [WarmBackend("m", 1, 2, 0), WarmBackend("m", 3, 2, 1)]
    for index in (1, 3):
        rules.report(index, COLD, 9.0)
        rules.pool.at(index).failing_until = 0.0
    assert rules.setup.order_missing(13.0) == [WarmBackend("m", 1, 3, 0), WarmBackend("m", 3, 3, 2)]


def test_a_warm_backend_beyond_helps_out_until_its_place_is_not_needed() -> None:
    """Where the first of two is set up again, the prefix reaches over to the next warm one, which is not
    wanted for itself; once the first is warm, it is left alone.
    """
    rules = Rules(4)
    for index in (2, 3, 4):
        rules.report(index, WARM, 0.0)
    wanted = rules.pool.prefix_with(2, counting_coming=True)
    assert (wanted, rules.pool.reaching_over(wanted, 2)) == (2, 3)
    rules.pool.set_prefix(3, wanted)
    assert rules.setup.order_missing(0.0) == [WarmBackend("m", 1, 1)]
    rules.report(1, WARM, 1.0)
    assert rules.pool.reaching_over(2, 2) == 2
