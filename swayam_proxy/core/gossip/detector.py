"""When silence becomes a doubt, and when a doubt becomes a removal.

Knows no datagrams. Three safeguards keep the living from being removed, since the promise is to count them:

1. *Patience by the loss seen.* A member is doubted only after so many tries in a row failed that, at the
   share of failures measured here, all members together raise about one wrong doubt per second.
2. *Several accusers.* A doubt removes a member only when different members hold it (three, or as many as
   are left), unrefuted for a whole window, and only after a silence of its own.
3. *A clock that stops when we do.* All of this runs on `AwakeClock`: a member that was paused for a minute
   has not waited for a minute. After a long pause every count begins anew.

An adaptive detector on heartbeat ages (phi accrual) was considered and not taken: with traffic that
does not grow, each of 4,096 heartbeats arrives too seldom to notice a silence within 12 s.
"""

from collections import deque
from collections.abc import Container
from heapq import heappop, heappush

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.identity import accuser_id
from swayam_proxy.core.gossip.roster import Doubt, Roster

_SHARE_DECAY = 0.995
"""Per examination: the measured loss remembers the last 200."""
_PRIOR_COUNT = 10.0
_PRIOR_SHARE = 0.2
_SHARE_MIN = 0.02
_SHARE_MAX = 0.8
_WITHDRAWN_WINDOWS = 3.0
"""A doubt without enough accusers is dropped after so many windows."""
_RECHECK_S = 0.2
_DISTRUST_MAX = 3


class AwakeClock:
    """Seconds for which this member was surely listening; it advances by at most `gap_s_max` per call."""

    __slots__ = ("_gap_s_max", "_last_s", "now_s", "slept_s")

    def __init__(self, now: float, gap_s_max: float) -> None:
        """Begin at 0."""
        self._last_s = now
        self._gap_s_max = gap_s_max
        self.now_s = 0.0
        self.slept_s = 0.0

    def advance(self, now: float) -> bool:
        """Take note of the time; return True when we were late, so that news may have been missed."""
        gap_s = now - self._last_s
        if gap_s <= 0.0:
            return False
        self._last_s = now
        if gap_s <= self._gap_s_max:
            self.now_s += gap_s
            return False
        self.now_s += self._gap_s_max
        self.slept_s += gap_s - self._gap_s_max
        return True


class LossEstimate:
    """The share of tries that fail at members that are well, from examinations that ended well."""

    __slots__ = ("_failures", "_successes")

    def __init__(self) -> None:
        """Begin with a cautious guess."""
        self._failures = _PRIOR_COUNT * _PRIOR_SHARE
        self._successes = _PRIOR_COUNT * (1.0 - _PRIOR_SHARE)

    def succeeded(self, failures_before: int) -> None:
        """A member answered after so many failed tries."""
        self._failures = self._failures * _SHARE_DECAY + failures_before
        self._successes = self._successes * _SHARE_DECAY + 1.0

    def share(self) -> float:
        """Return the estimate, kept within what the number of tries can use."""
        share = self._failures / (self._failures + self._successes)
        return min(_SHARE_MAX, max(_SHARE_MIN, share))


class Examination:
    """One member that was asked and has not answered yet."""

    __slots__ = ("accused", "hearsay", "tries_count")

    def __init__(self, hearsay: tuple[int, ...] | None) -> None:
        """Begin before the first try; `hearsay` names the accusers of a member that others removed."""
        self.tries_count = 0
        self.accused = False
        self.hearsay = hearsay


class Detector:
    """Examinations under way, doubts waiting to ripen, and the patience for both."""

    def __init__(self, roster: Roster, config: GossipConfig, now: float) -> None:
        """Begin with nobody to examine."""
        self.clock = AwakeClock(now, config.gap_s_max)
        self.loss = LossEstimate()
        self.doubts_raised_count = 0
        self._config = config
        self._roster = roster
        self._examinations: dict[int, Examination] = {}
        self._tries_due: deque[tuple[float, int, Examination]] = deque()
        self._doubts_due: list[tuple[float, int, int]] = []
        self._heard_s: dict[int, float] = {}  # only of doubted members
        self._distrust: dict[int, int] = {}  # our doubts of this member that others refuted
        self._silent_count = 0

    def advance(self, now: float) -> None:
        """Move the clock; after a pause of ours, whatever is under way starts again."""
        if self.clock.advance(now):
            self._start_anew()

    def next_due_s(self) -> float:
        """Return the time of the detector's clock at which `tries()` or `ripe()` has work."""
        due_s = self._tries_due[0][0] if self._tries_due else float("inf")
        return min(due_s, self._doubts_due[0][0]) if self._doubts_due else due_s

    def examine(self, boot_id: int, hearsay: tuple[int, ...] | None = None) -> bool:
        """Begin to ask a member; False when it is being asked already."""
        if boot_id in self._examinations:
            return False
        self._examinations[boot_id] = Examination(hearsay)
        return True

    def asked(self, boot_id: int) -> None:
        """A probe went out to a member under examination."""
        examination = self._examinations[boot_id]
        examination.tries_count += 1
        self._tries_due.append((self.clock.now_s + self._config.retry_s, boot_id, examination))

    def heard(self, boot_id: int, *, answered: bool) -> None:
        """Something fresh came from the member itself; `answered` when it was asked for."""
        if boot_id in self._roster.doubts:
            self._heard_s[boot_id] = self.clock.now_s
        examination = self._end_examination(boot_id)
        if examination is not None:
            if answered:
                self.loss.succeeded(examination.tries_count - 1)
            self._drop_ended()
        if answered and self._distrust:
            self._distrust.pop(boot_id, None)

    def gone(self, boot_id: int) -> None:
        """The member is not counted any more."""
        self._end_examination(boot_id)
        self._heard_s.pop(boot_id, None)
        self._distrust.pop(boot_id, None)

    def refuted(self, boot_id: int) -> None:
        """The member raised its incarnation: an accusation of ours was wrong, so be slower next time."""
        self._heard_s.pop(boot_id, None)
        examination = self._examinations.get(boot_id)
        if examination is not None and examination.accused:
            self._end_examination(boot_id)
            self._distrust[boot_id] = min(_DISTRUST_MAX, self._distrust.get(boot_id, 0) + 1)

    @property
    def examined(self) -> Container[int]:
        """Members that are being asked already."""
        return self._examinations

    def watch_doubt(self, boot_id: int) -> None:
        """A doubt was learnt or raised: look at it when its window ends."""
        doubt = self._roster.doubts[boot_id]
        due_s = doubt.began_s + self._config.window_for_s(self._roster.count)
        heappush(self._doubts_due, (due_s, boot_id, doubt.incarnation))

    def tries(self) -> tuple[list[int], list[tuple[int, tuple[int, ...] | None]]]:
        """Return whom to ask again, and whom to accuse (with the accusers heard of) as of now."""
        again: list[int] = []
        accused: list[tuple[int, tuple[int, ...] | None]] = []
        while self._tries_due and self._tries_due[0][0] <= self.clock.now_s:
            _, boot_id, examination = self._tries_due.popleft()
            if self._examinations.get(boot_id) is not examination:
                continue
            if examination.tries_count == 1:
                if self._silent_count >= self._config.doubts_checked_max:
                    del self._examinations[boot_id]
                    continue
                self._silent_count += 1
            if not examination.accused and examination.tries_count >= self._tries(boot_id):
                examination.accused = True
                self._silent_count -= 1  # there is room to examine another one
                accused.append((boot_id, examination.hearsay))
                self.doubts_raised_count += 1
            if examination.accused and len(self._examinations) > 2 * self._config.doubts_checked_max:
                self._end_examination(boot_id)
            else:
                again.append(boot_id)  # even when accused: our probes are the surest way to tell it so
        return again, accused

    def ripe(self) -> list[int]:
        """Return the members to remove as of now."""
        removed: dict[int, None] = {}
        while self._doubts_due and self._doubts_due[0][0] <= self.clock.now_s:
            _, boot_id, incarnation = heappop(self._doubts_due)
            doubt = self._roster.doubts.get(boot_id)
            if doubt is None or doubt.incarnation != incarnation:
                continue
            heard_s = self._heard_s.get(boot_id, -1.0)
            silent = heard_s < doubt.began_s or self.clock.now_s - heard_s >= self._window_s()
            accusers_needed = min(self._config.accusers_count, self._roster.undoubted_count())
            if len(doubt.accusers) >= accusers_needed and silent:
                removed[boot_id] = None
            elif self.clock.now_s - doubt.began_s < self._window_s() * _WITHDRAWN_WINDOWS:
                heappush(self._doubts_due, (self.clock.now_s + _RECHECK_S, boot_id, incarnation))
            else:
                del self._roster.doubts[boot_id]
                self.refuted(boot_id)
        return list(removed)

    def own_doubt(self, boot_id: int, hearsay: tuple[int, ...] | None) -> Doubt:
        """Return this member's own accusation; one of a member that others removed is ripe at once.

        Where loss made us try for longer than usual, the member had that time to answer: it counts as a
        part of the window.
        """
        accuser = accuser_id(self._roster.own.boot_id)
        now_s, window_s = self.clock.now_s, self._window_s()
        examination = self._examinations.get(boot_id)
        tries_count = 0 if examination is None else examination.tries_count
        extra_s = (tries_count - self._config.tries_min) * self._config.retry_s
        credit_s = min(window_s / 3, max(0.0, extra_s)) if hearsay is None else window_s
        born_s = now_s - credit_s
        return Doubt(self._roster.incarnation(boot_id), born_s, born_s, (accuser, *(hearsay or ())))

    def doubt_heard(self, incarnation: int, age_s: float, accusers: tuple[int, ...]) -> Doubt | None:
        """Return a doubt as our clock sees it, with time left to hear its refutation; None if outlived."""
        window_s = self._window_s()
        if age_s > window_s * _WITHDRAWN_WINDOWS:
            return None
        now_s = self.clock.now_s
        return Doubt(incarnation, now_s - age_s, now_s - min(age_s, window_s / 2), accusers)

    def _drop_ended(self) -> None:
        """Wait for no further try at those who have answered meanwhile, which are nearly all."""
        due = self._tries_due
        while due and self._examinations.get(due[0][1]) is not due[0][2]:
            due.popleft()

    def _end_examination(self, boot_id: int) -> Examination | None:
        examination = self._examinations.pop(boot_id, None)
        if examination is not None and examination.tries_count >= 2 and not examination.accused:
            self._silent_count -= 1
        return examination

    def _window_s(self) -> float:
        return self._config.window_for_s(self._roster.count)

    def _tries(self, boot_id: int) -> int:
        tries = self._config.tries_for(self._roster.count, self.loss.share())
        if boot_id in self._roster.doubts:  # to agree with others takes less than to be the first
            return max(self._config.tries_min, tries // 2)
        return tries << self._distrust.get(boot_id, 0) if self._distrust else tries

    def _start_anew(self) -> None:
        self._examinations.clear()
        self._tries_due.clear()
        self._silent_count = 0
        self._doubts_due.clear()
        for boot_id, doubt in self._roster.doubts.items():
            doubt.began_s = self.clock.now_s
            heappush(self._doubts_due, (doubt.began_s + self._window_s(), boot_id, doubt.incarnation))
