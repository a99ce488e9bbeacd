"""What members of a simulated network come to believe, held against what is true.

Knows who lives (the network tells) and every change of anyone's view; knows nothing of scenarios.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from swayam_proxy.sim.gossip_network import Change, GossipNetwork


@dataclass(slots=True)
class GossipWatch:
    """Follows one network from its start; all lists grow only with what goes wrong or is asked for."""

    network: GossipNetwork
    joined_at: defaultdict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    """Of watched boots: when each observer began to count it."""
    removed_at: defaultdict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    wrong_s: list[float] = field(default_factory=list)
    """Durations of wrong removals that have ended."""
    known_counts: Counter[int] = field(default_factory=Counter)
    """How many living boots each observer counts beside itself."""
    _watched: set[int] = field(default_factory=set)
    _living: set[int] = field(default_factory=set)
    _wrong_since: dict[tuple[int, int], float] = field(default_factory=dict)
    _excused: bool = False

    def __post_init__(self) -> None:
        """Begin to listen."""
        self.network.on_change = self._note

    def born(self, boot_id: int) -> None:
        """A process has started."""
        self._living.add(boot_id)

    def died(self, boot_id: int) -> None:
        """A process has ended: from here on it is right to remove it."""
        self._living.discard(boot_id)
        self._wrong_since = {pair: at for pair, at in self._wrong_since.items() if pair[1] != boot_id}

    def watch(self, boot_id: int) -> None:
        """Note when each observer counts or removes this boot."""
        self._watched.add(boot_id)

    def excuse(self, *, excused: bool) -> None:
        """While a network is split, removals are right."""
        self._excused = excused

    def wrong_now_count(self) -> int:
        """Return how many living members are missing in someone's view, without excuse."""
        return len(self._wrong_since)

    def all_wrong_s(self) -> list[float]:
        """Return the durations of all wrong removals, those that last included."""
        return self.wrong_s + [self.network.now - at for at in self._wrong_since.values()]

    def _note(self, change: Change) -> None:
        boot_id, observer = change.subject_boot_id, change.observer_index
        if boot_id in self._watched:
            book = self.joined_at if change.joined else self.removed_at
            book[boot_id][observer] = change.at
        if boot_id not in self._living:
            return
        self.known_counts[observer] += 1 if change.joined else -1
        pair = observer, boot_id
        if not change.joined and not self._excused:
            self._wrong_since[pair] = change.at
        elif change.joined and pair in self._wrong_since:
            self.wrong_s.append(change.at - self._wrong_since.pop(pair))
