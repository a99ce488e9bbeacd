"""The rules as a whole: stories of traffic and what becomes of the prefix."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from swayam_proxy.core.commands import ForwardRequest, RejectRequest
from swayam_proxy.core.events import BackendProbed, DrainBegan, PeersCounted, WakeupCame
from swayam_proxy.core.frontend import Frontend
from swayam_proxy.core.ticket import Ticket
from swayam_proxy.core.vocabulary import (
    BackendState,
    DispatchPolicy,
    Fault,
    FrontendSpec,
    HealthSpec,
    Outcome,
    QueueSpec,
    Refusal,
    RefusalReason,
    RetrySpec,
)
from tests.core.playbook import Playbook, service_spec

Play = Callable[..., Playbook]


def _frontend(backends_count: int = 2, **changes: object) -> Frontend:
    return Frontend(FrontendSpec("f", (service_spec(backends_count, **changes),)), Random(3), 0.0)


def _admit(frontend: Frontend, now: float = 0.0, deadline: float = float("inf")) -> Ticket:
    ticket = frontend.admit("digits", now, deadline)
    assert isinstance(ticket, Ticket)
    return ticket


def test_prefix_shrinks_only_after_quiet_period(play: Play) -> None:
    """A short lull keeps the warm backends; a long one frees them."""
    story = play(prefix_start=1)
    story.load(per_s=100, for_s=60).expect_prefix(6, 7)
    busy = story.snapshot().prefix
    story.load(per_s=10, for_s=10).expect_prefix(busy)
    story.load(per_s=10, for_s=120).expect_prefix(1, 2)


def test_calls_never_leave_the_prefix(play: Play) -> None:
    """Backends beyond the prefix get no calls."""
    story = play(prefix_start=1).load(per_s=20, for_s=30)
    widest = max(decision.needs for decision in story.decisions)
    assert set(story.used) == set(range(1, widest + 1))
    assert widest < 12


def test_start_is_the_whole_list_where_backends_run_anyway(play: Play) -> None:
    """Before anything is known, using all is safe and costs nothing."""
    play().expect_prefix(12).load(per_s=20, for_s=60).expect_prefix(2)


def test_more_frontends_see_more_load(play: Play) -> None:
    """The same own rate means more global load when there are more frontends [deck: L = F x L']."""
    alone = play(prefix_start=1).load(per_s=25, for_s=30)
    among_four = play(prefix_start=1, frontends_count=4).load(per_s=25, for_s=30)
    assert among_four.snapshot().prefix > 2 * alone.snapshot().prefix


def test_count_of_peers_is_taken_in(play: Play) -> None:
    """When F rises the next decision uses it."""
    story = play(prefix_start=1).load(per_s=25, for_s=30)
    before = story.snapshot().prefix
    story.perform(story.frontend.handle(PeersCounted(4), story.now))
    story.load(per_s=25, for_s=5)
    assert story.snapshot().prefix > before
    assert story.frontend.snapshot(story.now).frontends_estimate == 4


def test_observe_only_decides_but_sends_to_all(play: Play) -> None:
    """In observe-only mode the decision is reported and nothing else changes."""
    story = play(observe_only=True).load(per_s=20, for_s=60)
    assert story.snapshot().needs == 2
    assert story.snapshot().prefix == 12
    assert set(story.used) == set(range(1, 13))


def test_missing_backends_are_set_up_once_and_used_when_warm(play: Play) -> None:
    """Every cold index of the prefix is ordered once; nothing is sent there before it is warm."""
    story = play(set_up_on_demand=True, prefix_min=1, setup_s=3.0)
    story.load(per_s=10, for_s=2)
    assert story.warmed == [1]
    assert story.used == []
    assert story.snapshot().queue_count == 19
    story.backend_says(1, BackendState.WARM)
    assert story.snapshot().queue_count == 18
    story.load(per_s=10, for_s=1)
    assert set(story.used) == {1}


def test_silence_lets_a_service_go_to_zero_and_a_call_wakes_it(play: Play) -> None:
    """With min 0 the prefix empties; the next call waits for its set-up instead of failing."""
    story = play(set_up_on_demand=True, prefix_min=0, setup_s=3.0, shrink_hold_s=5.0)
    story.silence(10).expect_prefix(0)
    story.load(per_s=1, for_s=1.5)
    assert story.warmed == [1]
    assert story.refusals == []
    story.backend_says(1, BackendState.WARM)
    assert story.used == [1]


def test_news_of_an_older_set_up_is_ignored(play: Play) -> None:
    """A late report of a former life must not make a backend look warm."""
    story = play(set_up_on_demand=True, prefix_min=1)
    story.silence(1).backend_says(1, BackendState.WARM, incarnation=0)
    assert story.snapshot().backends[0].state is BackendState.WARMING


def test_lost_backend_is_a_hole_that_the_prefix_makes_up_for(play: Play) -> None:
    """When index 2 falls, the prefix reaches one further at once, and back when it rises."""
    story = play(prefix_start=1).load(per_s=50, for_s=40)
    before = story.snapshot().prefix
    for _ in range(3):
        story.perform(story.frontend.handle(BackendProbed("digits", 2, False), story.now))
    story.expect_prefix(before + 1)
    story.used.clear()
    story.load(per_s=50, for_s=1)
    assert 2 not in story.used
    for _ in range(2):
        story.perform(story.frontend.handle(BackendProbed("digits", 2, True), story.now))
    story.expect_prefix(before)


def test_queued_request_gets_the_slot_that_falls_free() -> None:
    """First come, first served; the freed backend serves the oldest."""
    frontend = _frontend(1)
    first, second, third = (_admit(frontend) for _ in range(3))
    assert (first.backend_index, second.backend_index) == (1, 0)
    assert frontend.finish(first, Outcome.SERVED, 0.1) == [ForwardRequest(second)]
    assert second.backend_index == 1
    assert frontend.cancel(third, 0.1) == ()
    assert frontend.finish(second, Outcome.SERVED, 0.2) == ()


def test_client_that_leaves_frees_its_slot_once() -> None:
    """Cancelling twice, or after the end, changes nothing."""
    frontend = _frontend(1)
    first, second = _admit(frontend), _admit(frontend)
    assert frontend.cancel(first, 0.1) == [ForwardRequest(second)]
    assert frontend.cancel(first, 0.1) == ()
    frontend.finish(second, Outcome.SERVED, 0.2)
    service = frontend.snapshot(0.3).services[0]
    assert (service.in_flight_count, service.queue_count) == (0, 0)
    with pytest.raises(AssertionError):
        frontend.finish(second, Outcome.SERVED, 0.3)


def test_full_queue_refuses_with_a_time_to_come_back() -> None:
    """The queue is bounded in count; the refusal says when it is worth trying again."""
    frontend = _frontend(1, queue=QueueSpec(count_max=2))
    for _ in range(3):
        _admit(frontend)
    refusal = frontend.admit("digits", 0.0)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.QUEUE_FULL
    assert refusal.retry_after_s >= 1.0


def test_queue_is_bounded_in_expected_wait() -> None:
    """At 50 ms each and one slot, the ninth in the queue would wait nearly half a second: too long."""
    frontend = _frontend(1, queue=QueueSpec(wait_s_max=0.5))
    waiting = 0
    while isinstance(admission := frontend.admit("digits", 0.0), Ticket):
        waiting += admission.backend_index == 0
    assert admission.reason is RefusalReason.WAIT_TOO_LONG
    assert waiting == 8, "the ninth would have to wait for 9 x 50 ms, too near to 500 ms"


def test_a_request_that_cannot_meet_its_deadline_is_refused_early() -> None:
    """A deadline before the expected wait is over is refused on arrival, not after it."""
    frontend = _frontend(1)
    for _ in range(5):
        _admit(frontend)
    refusal = frontend.admit("digits", 0.0, 0.1)
    assert isinstance(refusal, Refusal) and refusal.reason is RefusalReason.DEADLINE


def test_late_binding_expects_to_wait_for_any_slot_not_for_its_share_of_them() -> None:
    """One of eight frontends before six busy backends: the next slot of any of them may be its next."""
    spec = service_spec(6, dispatch=DispatchPolicy.LATE_BINDING)
    frontend = Frontend(FrontendSpec("f1", (spec,), 8), Random(1), 0.0)
    for _ in range(6):
        assert _admit(frontend).backend_index
    first = frontend.admit("digits", 0.0, 0.040)
    assert isinstance(first, Ticket) and not first.backend_index, "50 ms / 6 is expected"
    second = frontend.admit("digits", 0.0, 0.040)
    assert isinstance(second, Refusal), "the others have as many waiting: 9 x 50 ms / 6"


def test_little_traffic_of_its_own_does_not_make_a_frontend_expect_crowds() -> None:
    """With a thousandth of the traffic one waiting request says nothing of a thousand at the others."""
    spec = service_spec(6, dispatch=DispatchPolicy.LATE_BINDING)
    frontend = Frontend(FrontendSpec("f1", (spec,), 1_000), Random(1), 0.0)
    for _ in range(7):
        _admit(frontend)
    assert not _admit(frontend, deadline=0.110).backend_index, "two executions are the most to expect"


def test_a_request_that_waited_too_long_is_rejected() -> None:
    """Nobody waits past the queue's limit: the sweep finds it."""
    frontend = _frontend(1, queue=QueueSpec(wait_s_max=2.0))
    _admit(frontend)
    waiting = _admit(frontend)
    now, rejected = 0.0, []
    while not rejected and now < 5.0:
        now = max(now, frontend.next_wakeup())
        rejected = [c for c in frontend.handle(WakeupCame(), now) if isinstance(c, RejectRequest)]
    assert rejected[0].ticket is waiting
    assert 2.0 <= now <= 2.2


def test_rebooking_goes_to_another_backend_and_blames_the_first() -> None:
    """A refused connection costs the client nothing: the next backend takes the request."""
    frontend = _frontend(2, dispatch=DispatchPolicy.LEAST_OUTSTANDING)
    ticket = _admit(frontend)
    failed = ticket.backend_index
    assert frontend.rebook(ticket, Fault.REFUSED, 0.0) is ticket
    assert {failed, ticket.backend_index} == {1, 2}
    backends = frontend.snapshot(0.0).services[0].backends
    assert [b.outstanding_count for b in backends] == [int(b.index != failed) for b in backends]
    assert frontend.snapshot(0.0).services[0].retries == {Fault.REFUSED: 1}
    refusal = frontend.rebook(ticket, Fault.REFUSED, 0.0)
    assert isinstance(refusal, Refusal) and refusal.reason is RefusalReason.NO_BACKEND
    assert frontend.snapshot(0.0).services[0].in_flight_count == 0


def test_rebooking_widens_a_prefix_that_has_nobody_else() -> None:
    """With prefix 1 and its backend down, the next one is taken into the prefix, not refused."""
    frontend = _frontend(3, prefix_start=1)
    ticket = _admit(frontend)
    assert frontend.rebook(ticket, Fault.REFUSED, 0.0) is ticket
    assert ticket.backend_index == 2
    assert frontend.snapshot(0.0).services[0].prefix == 2


def test_dead_backend_is_tried_at_most_three_times_before_ejection() -> None:
    """Three refusals in a row eject; afterwards every request goes straight to the live one."""
    frontend = _frontend(2, retry=RetrySpec(attempts_max=2), health=HealthSpec(eject_after_faults=3))
    tries = 0
    for k in range(100):
        ticket = _admit(frontend, 0.01 * k)
        if ticket.backend_index == 1:
            tries += 1
            assert frontend.rebook(ticket, Fault.REFUSED, 0.01 * k) is ticket
        frontend.finish(ticket, Outcome.SERVED, 0.01 * k + 0.001)
    assert tries == 3


def test_retries_stop_when_the_budget_is_spent() -> None:
    """In an outage the retries are a bounded share of the requests."""
    frontend = _frontend(2, retry=RetrySpec(budget_ratio=0.0), health=HealthSpec(ejected_share_max=0.0))
    retried = 0
    for _ in range(100):
        ticket = _admit(frontend)
        admission = frontend.rebook(ticket, Fault.REFUSED, 0.0)
        if isinstance(admission, Ticket):
            retried += 1
            frontend.finish(ticket, Outcome.UNUSABLE, 0.0, fault=Fault.REFUSED)
    assert retried == 10


def test_only_requests_alone_at_their_backend_teach_the_execution_time() -> None:
    """Without a report from the backend, time spent behind our own other requests is not execution."""
    frontend = _frontend(1, dispatch=DispatchPolicy.RANDOM)
    first, second = _admit(frontend, 0.0), _admit(frontend, 0.0)
    frontend.finish(first, Outcome.SERVED, 0.05)
    frontend.finish(second, Outcome.SERVED, 0.10)
    frontend.handle(WakeupCame(), 1.0)
    decision = frontend.snapshot(1.0).services[0].decision
    assert decision is not None
    assert decision.samples_count == pytest.approx(1.0, abs=0.1)


def test_draining_refuses_new_and_waiting_requests() -> None:
    """What is in flight may end; what waits is told at once."""
    frontend = _frontend(1)
    running, waiting = _admit(frontend), _admit(frontend)
    (command,) = frontend.handle(DrainBegan(), 0.0)
    assert isinstance(command, RejectRequest) and command.ticket is waiting
    assert frontend.admit("digits", 0.0) == Refusal(RefusalReason.DRAINING, 1.0)
    frontend.finish(running, Outcome.SERVED, 0.05)
    assert frontend.snapshot(0.1).draining


def test_each_wakeup_decides_for_one_service_only() -> None:
    """A thousand services are decided one at a time, spread over the tick, so that the loop is never held."""
    specs = tuple(
        replace(
            service_spec(3), name=f"s{k}", routes=(replace(service_spec(1).routes[0], path_prefix=f"/s{k}"),)
        )
        for k in range(20)
    )
    frontend = Frontend(FrontendSpec("f", specs), Random(1), 0.0)
    decided: list[str] = []
    now = 0.0
    while (when := frontend.next_wakeup()) < 1.0:
        now = max(now, when)
        commands = frontend.handle(WakeupCame(), now)
        assert len(commands) <= 1
        decided += [command.decision.service_name for command in commands]  # type: ignore[union-attr]
    assert sorted(decided) == sorted(spec.name for spec in specs)


def test_late_wakeups_do_not_pile_up() -> None:
    """After a pause of a minute one decision is made, not sixty."""
    frontend = _frontend(2)
    frontend.handle(WakeupCame(), 0.0)
    frontend.handle(WakeupCame(), 60.0)
    assert 60.0 < frontend.next_wakeup() <= 61.0


def test_answers_that_say_they_failed_break_the_promise_and_teach_nothing() -> None:
    """A quick 500 is not a kept promise, nor a short execution; a client that left is neither."""
    frontend = _frontend(1)
    for outcome in (Outcome.FAILED, Outcome.UNUSABLE, Outcome.SERVED):
        frontend.finish(_admit(frontend), outcome, 0.01, execution_s=0.01)
    service = frontend.snapshot(0.1).services[0]
    assert (service.requests_count, service.good_count) == (2, 1)
    frontend.handle(WakeupCame(), 1.0)
    decision = frontend.snapshot(1.0).services[0].decision
    assert decision is not None
    assert decision.samples_count == pytest.approx(1.0, abs=0.1)
