"""How much frontends differ in the n that they publish: from decisions as they were made, exact in time.

Knows decisions alone. There is no coordinator, so equal n is what the same order, the same model and nearly
the same inputs have to bring about.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from swayam_proxy.core.vocabulary import Decision


@dataclass(frozen=True, slots=True)
class Agreement:
    """What part of the time all n were equal, and by how much they were not otherwise."""

    same_share: float
    """Of the time: all frontends published the same n."""
    within_one_share: float
    """Of the time: the largest and the smallest n differed by at most one."""
    difference_mean: float
    """Largest n minus smallest, averaged over time."""
    difference_max: int
    prefix_mean: float
    """n, averaged over frontends and time."""


def agreement_of(
    decisions: Iterable[tuple[int, Decision]], frontends_count: int, from_s: float, until_s: float
) -> Agreement:
    """Compare the n of all frontends between two times; decisions are (frontend, decision) in order."""
    prefixes: dict[int, int] = {}
    at_s = from_s
    seconds_by_difference: dict[int, float] = {}
    prefix_seconds = 0.0
    for number, decision in decisions:
        lasted_s = min(decision.at, until_s) - at_s
        if lasted_s > 0.0:
            if len(prefixes) == frontends_count:
                difference = max(prefixes.values()) - min(prefixes.values())
                seconds_by_difference[difference] = seconds_by_difference.get(difference, 0.0) + lasted_s
                prefix_seconds += lasted_s * sum(prefixes.values()) / frontends_count
            at_s += lasted_s
        prefixes[number] = decision.prefix
    total_s = sum(seconds_by_difference.values())
    if total_s <= 0.0:
        raise ValueError(f"there is no time between {from_s:g} s and {until_s:g} s in which all had decided")
    return Agreement(
        same_share=seconds_by_difference.get(0, 0.0) / total_s,
        within_one_share=sum(s for gap, s in seconds_by_difference.items() if gap <= 1) / total_s,
        difference_mean=sum(gap * s for gap, s in seconds_by_difference.items()) / total_s,
        difference_max=max(seconds_by_difference),
        prefix_mean=prefix_seconds / total_s,
    )
