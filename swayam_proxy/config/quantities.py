"""Durations ("250ms", "1m30s") and sizes ("32KiB"): read, written back, and described to editors.

Durations become float seconds, sizes become integer bytes. A bare number is no duration: whether 30
means seconds or milliseconds is a mistake that should not be possible.
"""

import re
from typing import Annotated, Any, Final

import durationpy
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from swayam_proxy.config.errors import RefusedValueError

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+$"
DURATION_MAX_S: Final = 30 * 24 * 3600.0
SIZE_PATTERN: Final = r"^[0-9]+ ?(B|kB|KB|MB|GB|KiB|MiB|GiB)$"
SIZE_BYTES_MAX: Final = 1 << 40

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(r"^([0-9]{1,13}) ?([A-Za-z]+)$")
_SIZE_UNITS: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def parse_duration(value: Any) -> float:
    """Read a duration in seconds; raises `RefusedValueError` with what to write instead."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RefusedValueError("is not a duration", 'write a string with a unit, such as "250ms" or "1m30s"')
    if isinstance(value, int | float):
        raise RefusedValueError(
            f"is the bare number {value}", f'write a string with a unit, such as "{value}s" or "{value}ms"'
        )
    text = value.strip()
    if text == "0":
        return 0.0
    if len(text) > 64 or not _DURATION.match(text):
        todo = 'write numbers with us, ms, s, m or h, such as "250ms", "30s" or "1m30s"'
        raise RefusedValueError(f'is "{value:.80}", not a duration', todo)
    try:
        seconds = float(durationpy.from_str(text).total_seconds())
    except (durationpy.DurationError, OverflowError):
        seconds = float("inf")
    if seconds > DURATION_MAX_S:
        raise RefusedValueError(f'is "{value}"', 'write at most "720h" (30 days)')
    return seconds


def format_duration(seconds: float) -> str:
    """Write `seconds` so that `parse_duration` reads the same value, to the microsecond.

    Not by durationpy, which loses microseconds beside whole seconds.
    """
    microseconds = round(seconds * 1e6)
    if microseconds < 1000:
        return f"{microseconds}us" if microseconds else "0s"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    minutes, rest = divmod(microseconds, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    text = (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes else "")
    return text + f"{rest / 1e6:.6f}".rstrip("0").rstrip(".") + "s" if rest else text


def parse_size(value: Any) -> int:
    """Read a size in bytes: an integer, or a string with a unit; raises `RefusedValueError`."""
    todo = 'write bytes as an integer, or a string with a unit, such as "32KiB" or "2MiB"'
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise RefusedValueError("is not a size", todo)
    size = value
    if isinstance(size, str):
        match = _SIZE.match(size.strip())
        if match is None or match[2] not in _SIZE_UNITS:
            raise RefusedValueError(f'is "{size:.80}", not a size', todo)
        size = int(match[1]) * _SIZE_UNITS[match[2]]
    if not 1 <= size <= SIZE_BYTES_MAX:
        raise RefusedValueError(f"is {value}", 'write a size from 1 byte to "1024GiB"')
    return size


def format_size(size_bytes: int) -> int | str:
    """Write a size with the largest binary unit that divides it, or as plain bytes."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes % _SIZE_UNITS[unit] == 0:
            return f"{size_bytes // _SIZE_UNITS[unit]}{unit}"
    return size_bytes


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=int | str),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": SIZE_PATTERN}]}
    ),
]
