"""The lines of the control connection between frontend and backend, read strictly and written plainly.

docs/sidecar-protocol.md is the standard; this is its grammar. Knows text, not sockets.
"""

import re
from dataclasses import dataclass

from swayam_proxy.core.errors import WireError
from swayam_proxy.core.vocabulary import BackendState

LINE_BYTES_MAX = 256
FRONTEND_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_NUMBER = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,6})?\Z")
_ID = re.compile(rb"[1-9][0-9]{0,17}\Z")
_COUNT = re.compile(rb"[0-9]{1,18}\Z")
_WORDS = frozenset((b"hold", b"cancel", b"setup", b"full", b"grant", b"idle", b"state", b"ping", b"pong"))
_STATES = {state.value.upper().encode(): state for state in BackendState if state is not BackendState.LOST}


@dataclass(frozen=True, slots=True)
class Hold:
    """A request that has waited `age_s` wants the next free slot."""

    hold_id: int
    age_s: float

    def line(self) -> bytes:
        """Write it down."""
        return b"hold %d %.3f\n" % (self.hold_id, self.age_s * 1000.0)


@dataclass(frozen=True, slots=True)
class Cancel:
    """A hold is not needed, or its slot is given back."""

    hold_id: int

    def line(self) -> bytes:
        """Write it down."""
        return b"cancel %d\n" % self.hold_id


@dataclass(frozen=True, slots=True)
class SetUpOrder:
    """Set the model server up, unless that set-up, or a later one, has begun already."""

    incarnation: int
    claim: int | None = None
    """How many backends beyond its least number the service has with this one; None: not told."""

    def line(self) -> bytes:
        """Write it down."""
        if self.claim is None:
            return b"setup %d\n" % self.incarnation
        return b"setup %d %d\n" % (self.incarnation, self.claim)


@dataclass(frozen=True, slots=True)
class Full:
    """The machine has no room for that set-up, which has not begun."""

    incarnation: int

    def line(self) -> bytes:
        """Write it down."""
        return b"full %d\n" % self.incarnation


@dataclass(frozen=True, slots=True)
class Granted:
    """A slot is leased to a hold."""

    hold_id: int
    lease_s: float

    def line(self) -> bytes:
        """Write it down."""
        return b"grant %d %.3f\n" % (self.hold_id, self.lease_s * 1000.0)


@dataclass(frozen=True, slots=True)
class Idle:
    """A slot is free and nobody waits for it."""

    def line(self) -> bytes:
        """Write it down."""
        return b"idle\n"


@dataclass(frozen=True, slots=True)
class StateIs:
    """What the backend is, since which set-up, and how long that took (None: not known)."""

    state: BackendState
    incarnation: int
    setup_s: float | None

    def line(self) -> bytes:
        """Write it down."""
        took = b"-" if self.setup_s is None else b"%.3f" % (self.setup_s * 1000.0)
        return b"state %s %d %s\n" % (self.state.value.upper().encode(), self.incarnation, took)


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `Pong`, to see that the other side lives."""

    number: int

    def line(self) -> bytes:
        """Write it down."""
        return b"ping %d\n" % self.number


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a `Ping` with its number."""

    number: int

    def line(self) -> bytes:
        """Write it down."""
        return b"pong %d\n" % self.number


Line = Hold | Cancel | SetUpOrder | Full | Granted | Idle | StateIs | Ping | Pong


def read_line(line: bytes) -> Line | None:
    """Return what a line without its LF says; None for a first word that this version does not know.

    Raises:
        WireError: a known word with something else behind it than the standard says.
    """
    word, *rest = line.split(b" ")
    match word, rest:
        case b"hold", [hold_id, age_ms]:
            return Hold(_whole(_ID, hold_id), _milliseconds(age_ms))
        case b"cancel", [hold_id]:
            return Cancel(_whole(_ID, hold_id))
        case b"setup", [incarnation, *claim] if len(claim) <= 1:
            return SetUpOrder(_whole(_COUNT, incarnation), *(_whole(_COUNT, each) for each in claim))
        case b"full", [incarnation]:
            return Full(_whole(_COUNT, incarnation))
        case b"grant", [hold_id, lease_ms]:
            return Granted(_whole(_ID, hold_id), _milliseconds(lease_ms))
        case b"idle", []:
            return Idle()
        case b"state", [state, incarnation, setup_ms]:
            if state not in _STATES:
                raise WireError("state")
            took = None if setup_ms == b"-" else _milliseconds(setup_ms)
            return StateIs(_STATES[state], _whole(_COUNT, incarnation), took)
        case b"ping", [number]:
            return Ping(_whole(_COUNT, number))
        case b"pong", [number]:
            return Pong(_whole(_COUNT, number))
        case [word, _] if word in _WORDS:
            raise WireError("words")
        case _:
            return None


class LineReader:
    """Cuts a stream of bytes into lines, of bounded length."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self._rest = b""

    def feed(self, part: bytes) -> list[Line]:
        """Return what the lines that are complete now say; unknown words are left out.

        Raises:
            WireError: a line is too long or cannot be read; the connection is of no more use.
        """
        *lines, self._rest = (self._rest + part).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise WireError("too_long")
        read = []
        for line in lines:
            if len(line) > LINE_BYTES_MAX:
                raise WireError("too_long")
            if (said := read_line(line)) is not None:
                read.append(said)
        return read


def _whole(pattern: re.Pattern[bytes], text: bytes) -> int:
    if not pattern.match(text):
        raise WireError("number")
    return int(text)


def _milliseconds(text: bytes) -> float:
    if not _NUMBER.match(text):
        raise WireError("number")
    return float(text) / 1000.0
