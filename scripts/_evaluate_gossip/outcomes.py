"""Outcomes of runs in a file, one JSON object per line, so that a long evaluation goes on where it ended."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from swayam_proxy.sim.gossip_scenarios import Outcome


class Case(NamedTuple):
    """What determines one run."""

    scenario: str
    members_count: int
    loss: float
    seed: int

    @classmethod
    def of(cls, outcome: Outcome) -> "Case":
        """Return which run this came of."""
        return cls(outcome.scenario, outcome.members_count, outcome.loss, outcome.seed)

    def __str__(self) -> str:
        return f"{self.scenario}, {self.members_count} members, loss {self.loss:.0%}, seed {self.seed}"


def held(path: Path) -> list[Outcome]:
    """Return all outcomes of a file; none when there is no file."""
    if not path.exists():
        return []
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]


def add(path: Path, outcome: Outcome) -> None:
    """Append one outcome."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(asdict(outcome)) + "\n")
