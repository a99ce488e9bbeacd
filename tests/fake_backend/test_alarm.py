"""The alarm: in order, on time, and quiet about what was cancelled."""

import asyncio
import math
import time

import pytest

from fake_backend.alarm import Alarm


@pytest.mark.parametrize("precise", [True, False])
async def test_callbacks_come_in_order_and_never_early(precise: bool) -> None:
    """Whatever the order of asking, callbacks run by their moment, at it or after it."""
    loop = asyncio.get_running_loop()
    alarm, done, fired = Alarm(loop, precise=precise), loop.create_future(), []
    begin = time.monotonic()
    for delay_s in (0.03, 0.01, 0.02, 0.0):
        when = begin + delay_s
        alarm.call_at(when, lambda when=when: fired.append((when, time.monotonic())))
    alarm.call_at(begin + 0.04, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    alarm.close()
    assert [when for when, _ in fired] == sorted(when for when, _ in fired)
    assert len(fired) == 4
    assert all(at >= when for when, at in fired)


async def test_the_kernel_timer_is_on_time() -> None:
    """A quarter of the callbacks, on a busy machine, comes within 0.2 ms: the loops' own timers cannot."""
    loop = asyncio.get_running_loop()
    alarm, done, late_s = Alarm(loop), loop.create_future(), []
    if not alarm.is_precise:
        pytest.skip("this system has no timerfd")
    begin = time.monotonic() + 0.01
    for number in range(100):
        when = begin + number * 0.00237
        alarm.call_at(when, lambda when=when: late_s.append(time.monotonic() - when))
    alarm.call_at(begin + 0.25, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    alarm.close()
    assert sorted(late_s)[25] < 0.0002


async def test_cancelled_callbacks_never_run() -> None:
    """Cancelling is final, harmless when late, and thousands of cancelled entries do not pile up."""
    loop = asyncio.get_running_loop()
    alarm, done, fired = Alarm(loop), loop.create_future(), []
    begin = time.monotonic()
    for _ in range(5000):
        alarm.cancel(alarm.call_at(begin + 3600, lambda: fired.append("late")))
    entry = alarm.call_at(begin + 0.01, lambda: fired.append("cancelled"))
    alarm.cancel(entry)
    alarm.cancel(entry)
    ran = alarm.call_at(begin + 0.01, lambda: fired.append("ran"))
    alarm.call_at(begin + 0.02, lambda: done.set_result(None))
    await asyncio.wait_for(done, 5)
    alarm.cancel(ran)
    assert fired == ["ran"]
    assert alarm.entries_count < 2500
    alarm.close()


async def test_a_failing_callback_does_not_stop_the_others() -> None:
    """An exception reaches the loop's handler; the next callback still comes."""
    loop = asyncio.get_running_loop()
    complaints: list[object] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    alarm, done = Alarm(loop), loop.create_future()
    begin = time.monotonic()

    def fail() -> None:
        raise ValueError("on purpose")

    alarm.call_at(begin + 0.005, fail)
    alarm.call_at(begin + 0.01, lambda: done.set_result(None))
    alarm.call_at(math.inf, fail)
    await asyncio.wait_for(done, 5)
    alarm.close()
    assert [type(one) for one in complaints] == [ValueError]
