"""Whether the load of a service tends to come back, and what to keep for it while it does.

What a shrink saves is an idle backend's time; what it may cost is a set-up time in which the promise is
broken, if the load comes back before long. Neither is known beforehand, but a service shows its habits: a
load that has fallen and come back twice will do so again more often than not. Until then nothing is kept
beyond the hold that the user asked for. From then on the load of before is remembered and fades, so that a
dip finds its backends still there when it ends. Silence ends the keeping: who sends nothing pays for nothing.

Knows loads and times, nothing of backends or of how loads are forecast. `scripts/evaluate` shows what it
costs and what it saves.
"""

from math import exp

RECENT_S = 60.0
"""What was carried so lately has not gone cold yet: to come back to it is no return."""
KEPT_S = 900.0
"""How fast the remembered load fades; a load that comes back after several of these is a new one."""
HABIT_S = 3600.0
"""How fast returns are forgotten."""
HABIT_MIN = 1.2
"""So many returns, the older ones counting less, make a habit: two within the hour, not one."""
RETURN_MIN = 1.2
"""A return, and what is remembered of before, exceed what was carried lately by this factor at least: less is
the noise of forecasts, and what had not been there before is no return."""
SILENT = 0.05
"""A load that has fallen to less than this share of what is remembered has stopped."""
_APART_S = 30.0
"""A rise that takes several ticks is one return."""


class ReturnMemory:
    """The loads of one service, each of which may come back."""

    __slots__ = ("_at", "_habit", "_kept_per_s", "_recent_per_s", "_returned_at")

    def __init__(self, now: float) -> None:
        """Begin with nothing seen."""
        self._at = now
        self._habit = 0.0
        self._kept_per_s = 0.0
        self._recent_per_s = 0.0
        self._returned_at = now - _APART_S

    def saw(self, now: float, load_per_s: float) -> float:
        """Take in the load of this tick; return what should still be carried, in requests per second.

        That is 0 while the load has no habit of coming back, and in silence.
        """
        passed_s = max(0.0, now - self._at)
        self._at = now
        self._habit *= exp(-passed_s / HABIT_S)
        self._kept_per_s *= exp(-passed_s / KEPT_S)
        self._recent_per_s *= exp(-passed_s / RECENT_S)
        lately_per_s = RETURN_MIN * self._recent_per_s
        if load_per_s > lately_per_s and self._kept_per_s > lately_per_s:
            if now - self._returned_at >= _APART_S:
                self._habit += 1.0
            self._returned_at = now
        self._recent_per_s = max(self._recent_per_s, load_per_s)
        self._kept_per_s = max(self._kept_per_s, load_per_s)
        silent = load_per_s <= SILENT * self._kept_per_s
        return 0.0 if silent or self._habit < HABIT_MIN else self._kept_per_s
