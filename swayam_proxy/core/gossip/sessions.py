"""Which letters are fresh: nobody gains anything by sending an old datagram again.

Knows boot ids, counters and nonces, not members. A sealed datagram proves who wrote it, not when. It is
taken as fresh when one of these holds, and its counter was not seen before:

- it answers a probe of ours, whose nonce is never used twice;
- it is addressed to this very boot by a boot that is known here (its window is kept as long as it is known);
- it repeats a token that we gave to that boot within the last minute.

Anyone else is a stranger: he gets a token and changes nothing. So a captured join cannot be played back
after the member, or we, were restarted.
"""

from enum import Enum, auto
from hashlib import blake2b
from typing import NamedTuple

from swayam_proxy.core.gossip.config import TOKEN_EPOCH_S, GossipConfig
from swayam_proxy.core.gossip.identity import Address
from swayam_proxy.core.gossip.replay import ReplayWindow
from swayam_proxy.core.gossip.wire import Letter, LetterKind
from swayam_proxy.core.vocabulary import Rng

_ANSWER_S_MAX = 5.0
"""Answers that take longer count as never come."""
_MASK = (1 << 64) - 1


class Admission(Enum):
    """What to make of a letter whose seal is good."""

    FRESH = auto()
    REPLAY = auto()
    UNASKED = auto()
    """An answer to no probe of ours, or to one too old."""
    STRANGER = auto()


class Asked(NamedTuple):
    """A probe that was sent: to whom (0 = whoever lives there), where, when, and whether with a token."""

    boot_id: int
    address: Address
    at: float
    with_token: bool


class Sessions:
    """The windows of known senders, the probes without an answer yet, and the tokens for strangers."""

    def __init__(self, own_boot_id: int, config: GossipConfig, rng: Rng, now: float) -> None:
        """Draw the secrets of this boot."""
        self._own_boot_id = own_boot_id
        self._config = config
        self._secret = rng.randrange(1 << 128).to_bytes(16)
        self._nonce = rng.randrange(1 << 64)
        self._windows: dict[int, ReplayWindow] = {}
        self._asked: dict[int, Asked] = {}
        self._challenges_left = config.challenges_per_s
        self._challenged_at = now

    def __len__(self) -> int:
        return len(self._windows)

    def ask(self, boot_id: int, address: Address, now: float, *, with_token: bool) -> int:
        """Return the nonce of a new probe."""
        self._nonce = (self._nonce + 1) & _MASK or 1
        self._asked[self._nonce] = Asked(boot_id, address, now, with_token)
        return self._nonce

    def asked_where(self, nonce: int) -> Address | None:
        """Return where the probe with this nonce went."""
        asked = self._asked.get(nonce)
        return None if asked is None else asked.address

    def admit(
        self, boot_id: int, counter: int, letter: Letter, *, known: bool, now: float
    ) -> tuple[Admission, Asked | None]:
        """Judge a letter; for an answer, also return the probe that it answers."""
        asked: Asked | None = None
        if letter.kind == LetterKind.ANSWER:
            asked = self._asked.get(letter.nonce)
            if asked is None or now - asked.at > _ANSWER_S_MAX:
                return Admission.UNASKED, None
        elif not (known and letter.to == self._own_boot_id) and letter.token not in self._tokens(
            boot_id, now
        ):
            return Admission.STRANGER, None
        window = self._windows.get(boot_id)
        if window is None:
            self._windows[boot_id] = ReplayWindow(counter, now)
        elif not window.accept(counter, now):
            return Admission.REPLAY, None
        if asked is not None:
            del self._asked[letter.nonce]
        return Admission.FRESH, asked

    def challenge(self, boot_id: int, now: float) -> int:
        """Return a token for a stranger; 0 when too many were given out lately."""
        earned = (now - self._challenged_at) * self._config.challenges_per_s
        self._challenged_at = now
        self._challenges_left = min(self._config.challenges_per_s, self._challenges_left + earned)
        if self._challenges_left < 1.0:
            return 0
        self._challenges_left -= 1.0
        return self._token(boot_id, int(now // TOKEN_EPOCH_S))

    def heard_at(self, boot_id: int) -> float | None:
        """Return the monotonic time of the newest fresh datagram of a boot."""
        window = self._windows.get(boot_id)
        return None if window is None else window.heard_at

    def forget(self, boot_id: int) -> None:
        """The boot is not known any more: from here on it is a stranger."""
        self._windows.pop(boot_id, None)

    def boot_ids(self) -> list[int]:
        """Return whose windows are kept."""
        return list(self._windows)

    def expire(self, now: float) -> None:
        """Give up on old probes."""
        for nonce, asked in list(self._asked.items()):  # in the order of asking
            if now - asked.at <= _ANSWER_S_MAX:
                break
            del self._asked[nonce]

    def _tokens(self, boot_id: int, now: float) -> tuple[int, int]:
        epoch = int(now // TOKEN_EPOCH_S)
        return self._token(boot_id, epoch), self._token(boot_id, epoch - 1)

    def _token(self, boot_id: int, epoch: int) -> int:
        text = boot_id.to_bytes(8) + epoch.to_bytes(8, signed=True)
        return int.from_bytes(blake2b(text, digest_size=8, key=self._secret).digest()) or 1
