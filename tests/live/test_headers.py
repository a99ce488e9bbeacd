"""What single fields mean."""

import pytest

from swayam_proxy.live.headers import execution_s_of, is_sane_request_id, tokens, trace_id_of


def test_tokens_of_several_fields_are_one_list() -> None:
    """Lists are joined, lower-cased and stripped; empty members vanish."""
    assert tokens([b"Close, ,X-A\t", b"x-B"]) == [b"close", b"x-a", b"x-b"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"exec;dur=12.5", 0.0125),
        (b'queue;dur=1, exec;desc="a";dur=2', 0.002),
        (b"exec; dur=3", 0.003),
        (b"execution;dur=3", None),
        (b"exec", None),
        (b"exec;dur=x", None),
    ],
)
def test_execution_time_is_read_from_server_timing(value: bytes, expected: float | None) -> None:
    """Only the metric exec counts, in milliseconds on the wire and seconds here."""
    assert execution_s_of(value) == expected


def test_ids() -> None:
    """Request ids are short and plain; trace ids are the second part of a traceparent."""
    assert is_sane_request_id(b"f81d4fae-7dec:1")
    assert not is_sane_request_id(b"")
    assert not is_sane_request_id(b"a b")
    assert trace_id_of(b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-00") == "1" * 32
    assert trace_id_of(b"nonsense") == ""
