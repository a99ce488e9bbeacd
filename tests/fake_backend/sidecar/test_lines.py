"""Lines: what the grammar allows is read, everything else is not."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_backend.sidecar import lines
from fake_backend.sidecar.lines import Cancel, Hold, LineError, Ping, Setup, Wish, parse_line


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        (b"hold 3 0", Hold(3, 0.0)),
        (b"hold 3 12.5", Hold(3, 0.0125)),
        (b"cancel 3", Cancel(3)),
        (b"setup 0", Setup(0)),
        (b"setup 12", Setup(12)),
        (b"setup 12 3", Setup(12)),
        (b"ping 0", Ping(0)),
        (b"wave 1 2 3", None),
        (b"HOLD 3 0", None),
    ],
)
def test_lines_are_read(line: bytes, wish: Wish | None) -> None:
    """Times become seconds; an unknown first word is no wish and no error."""
    assert parse_line(line) == wish


@pytest.mark.parametrize(
    "line",
    [b"", b" hold 1 2", b"hold  1 2", b"hold 1 2 ", b"hold 1 2\r", b"hold 1 .5", b"hold 1 5.", b"hold 1 1e3",
     b"hold 1 " + b"9" * 200, b"ping " + b"1" * 19, b"hold 1 \xb2", b"x" * 257],
)  # fmt: skip
def test_what_is_no_line(line: bytes) -> None:
    """Exactly one space between words, plain decimals, bounded numbers, at most 256 bytes."""
    with pytest.raises(LineError):
        parse_line(line)


@given(st.binary(max_size=300))
@example(b"hold 1 1" + b"0" * 400)
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    """No other error, whatever comes; ages are finite."""
    try:
        wish = parse_line(line)
    except LineError:
        return
    if isinstance(wish, Hold):
        assert 0 <= wish.age_s < 1e15


def test_lines_are_written() -> None:
    """As the document has them, each ended by one LF."""
    assert lines.state_line("WARM", 3, 1.2345) == b"state WARM 3 1234.500\n"
    assert lines.state_line("COLD", 0, None) == b"state COLD 0 -\n"
    assert lines.grant_line(7, 0.05) == b"grant 7 50\n"
    assert lines.pong_line(0) == b"pong 0\n"
    assert lines.IDLE == b"idle\n"
