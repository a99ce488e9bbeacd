"""The scenario in the simulator, with the very same requests."""

import numpy as np

from _compare_live.live import Seen
from _compare_live.scenario import Played
from swayam_proxy.sim.workload import Workload
from swayam_proxy.sim.world import World


def play_simulated(played: Played, workload: Workload, seed: int) -> Seen:
    """Play it; `seed` is that of which proxy gets which request, and of the proxies' dice."""
    world = World(played.scenario(seed), workload)
    world.keep_decisions = True
    record = world.run()
    prefixes: list[list[tuple[float, int]]] = [[] for _ in range(played.proxies_count)]
    for number, decision in world.decisions:
        prefixes[number].append((decision.at, decision.prefix))
    return Seen(
        prefixes=prefixes,
        billed=list(record.changes),
        arrivals_s=workload.arrivals_s,
        responses_s=np.where(record.responses_s >= 0.0, record.responses_s, np.inf),
        longest_wakeup_s=0.0,
        wakeups_mean_s=0.0,
    )
