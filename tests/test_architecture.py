"""The pictures in ARCHITECTURE.md are drawn from the code."""

import re
from pathlib import Path

from swayam_proxy.core.lifecycle import TRANSITIONS, Signal
from swayam_proxy.core.vocabulary import BackendState

ROOT = Path(__file__).resolve().parent.parent


def lifecycle_picture() -> str:
    """Return the table of transitions as text; signals that lead everywhere to one state are drawn once."""
    lines = []
    for signal in Signal:
        ends = {state: TRANSITIONS[state, signal] for state in BackendState if (state, signal) in TRANSITIONS}
        starts = ["any"] if len(ends) == len(BackendState) and len(set(ends.values())) == 1 else list(ends)
        for start in starts:
            end = next(iter(ends.values())) if start == "any" else ends[BackendState(start)]
            arrow = f"--{signal}-->"
            lines.append((start != "any", f"{start:<10} {arrow:<24} {end}"))
    return "\n".join(line for _, line in sorted(lines, key=lambda entry: entry[0]))


def test_lifecycle_picture_is_the_table() -> None:
    """The drawn transitions are those of the table, no more and no fewer."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    found = re.search(r"<!-- lifecycle -->\n```\n(.*?)\n```", text, re.DOTALL)
    assert found
    assert found[1].split("\n") == lifecycle_picture().split("\n")
