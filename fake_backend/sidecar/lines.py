"""The lines of the control connection: bytes in, what a frontend wants out; and back.

Knows the grammar of docs/sidecar-protocol.md, section 2; nothing of connections or of what a wish leads to.
"""

import re
from dataclasses import dataclass

LINE_BYTES_MAX = 256
"""Before the LF."""

IDLE = b"idle\n"
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")


class LineError(ValueError):
    """A line that cannot be read, which ends its connection."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A request that has waited for `age_s` wants the next free slot."""

    number: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """A hold is not needed."""

    number: int


@dataclass(frozen=True, slots=True)
class Setup:
    """The incarnation after this one is wanted, at least that far; claims are for shared machines."""

    incarnation: int


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered by the same number."""

    number: int


Wish = Hold | Cancel | Setup | Ping


def parse_line(line: bytes) -> Wish | None:
    """Return what a line without its LF wants, None for an unknown first word; raise LineError."""
    if len(line) > LINE_BYTES_MAX or not line.isascii():
        raise LineError("too long, or not ASCII")
    word, *arguments = line.decode("ascii").split(" ")
    if not word:
        raise LineError("no word")
    if word == "hold":
        number, age_ms = _exactly(2, arguments)
        return Hold(_positive(number), _milliseconds(age_ms) / 1e3)
    if word == "cancel":
        return Cancel(_positive(_exactly(1, arguments)[0]))
    if word == "setup":
        incarnation, *_claim = [_whole(each) for each in _one_or_two(arguments)]
        return Setup(incarnation)
    if word == "ping":
        return Ping(_whole(_exactly(1, arguments)[0]))
    return None


def state_line(state: str, incarnation: int, setup_s: float | None) -> bytes:
    """Tell the state, in capitals, and how long the last set-up took, if there was one."""
    setup_ms = "-" if setup_s is None else f"{setup_s * 1e3:.3f}"
    return f"state {state} {incarnation} {setup_ms}\n".encode()


def grant_line(number: int, lease_s: float) -> bytes:
    """Tell that a slot is leased."""
    return f"grant {number} {lease_s * 1e3:g}\n".encode()


def pong_line(number: int) -> bytes:
    """Answer a ping."""
    return f"pong {number}\n".encode()


def _exactly(count: int, arguments: list[str]) -> list[str]:
    if len(arguments) != count:
        raise LineError(f"{len(arguments)} words after the first, not {count}")
    return arguments


def _one_or_two(arguments: list[str]) -> list[str]:
    return arguments if len(arguments) == 2 else _exactly(1, arguments)


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise LineError(f"{text!r} is no whole number")
    return int(text)


def _positive(text: str) -> int:
    number = _whole(text)
    if number == 0:
        raise LineError("0 names no hold")
    return number


def _milliseconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise LineError(f"{text!r} is no decimal number")
    return float(text)
