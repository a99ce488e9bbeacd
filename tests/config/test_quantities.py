"""Durations and sizes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.config.errors import RefusedValueError
from swayam_proxy.config.quantities import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("1.5s", 1.5),
        ("1h", 3600.0),
        ("500us", 0.0005),
        ("0s", 0.0),
        ("0", 0.0),
        (" 2s ", 2.0),
        ("720h", 2_592_000.0),
    ],
)
def test_durations_are_read_in_seconds(text: str, seconds: float) -> None:
    """Each unit, and several together, mean what they say."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value", ["", "5", "-1s", "1 s", "s", "1mm", "1d", "721h", "9" * 70 + "s", 5, 0.5, True, [], None]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    """Bare numbers, unknown units, signs and excess are refused with both halves of a message."""
    with pytest.raises(RefusedValueError) as caught:
        parse_duration(value)
    assert caught.value.what.startswith("is ")
    assert caught.value.todo.startswith("write ")


@given(st.integers(min_value=0, max_value=30 * 24 * 3600 * 1_000_000))
def test_durations_survive_being_written(microseconds: int) -> None:
    """What is written reads back as the same time, and fits the pattern that editors get."""
    text = format_duration(microseconds / 1e6)
    assert re.search(DURATION_PATTERN, text)
    assert parse_duration(text) == pytest.approx(microseconds / 1e6, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (1, 1),
        ("32KiB", 32768),
        ("2 MiB", 2097152),
        ("1kB", 1000),
        ("1MB", 1_000_000),
        ("1GiB", 1 << 30),
        ("7B", 7),
    ],
)
def test_sizes_are_read_in_bytes(value: object, size: int) -> None:
    """Integers are bytes; units with an i are powers of 1024, those without are powers of 1000."""
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value", [0, -1, "0KiB", "32", "32kib", "2TiB", 1 << 41, "1" * 20 + "B", 1.5, True, None, []]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """Nothing, excess, unknown units and bare strings are refused."""
    with pytest.raises(RefusedValueError):
        parse_size(value)


@given(st.integers(min_value=1, max_value=1 << 40))
def test_sizes_survive_being_written(size: int) -> None:
    """What is written reads back as the same size, and fits the pattern where it is a string."""
    written = format_size(size)
    assert parse_size(written) == size
    assert isinstance(written, int) or re.search(SIZE_PATTERN, written)
