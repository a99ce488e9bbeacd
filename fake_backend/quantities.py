"""Durations as people write them: "50ms", "1.5s", "2m"."""

import math
import re

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+)(?P<unit>us|ms|s|m|h)?")
_DURATION_S_MAX = 7 * 24 * 3600.0


def parse_duration_s(text: str, *, unit_needed: bool = True) -> float:
    """Return the seconds of "250ms" and the like; 0 needs no unit.

    Without `unit_needed` a bare number is taken as seconds. Raises ValueError with a text for users.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write for example 50ms, 1.5s or 2m")
    number = float(match["number"])
    if match["unit"] is None and unit_needed and number != 0:
        raise ValueError(f"{text!r} lacks a unit; write {text}ms or {text}s")
    seconds = number * _UNITS_S[match["unit"] or "s"]
    if not math.isfinite(seconds) or seconds > _DURATION_S_MAX:
        raise ValueError(f"{text!r} is too long; a week is the most")
    return seconds
