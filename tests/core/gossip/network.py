"""Networks in virtual time, as the tests of gossip use them."""

from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.sim.gossip_network import Change, GossipNetwork


def group(
    count: int, seed: int = 1, *, loss: float = 0.0, config: GossipConfig | None = None
) -> GossipNetwork:
    """Return a network whose members have come together."""
    network = GossipNetwork(seed, config, loss=loss, service_names=("digits",))
    for index in range(count):
        network.start(index, (0, 1))
    network.run(5.0)
    assert counts(network) == {count}
    return network


def counts(network: GossipNetwork) -> set[int]:
    """Return how many members the living ones count."""
    return {member.membership.members_count() for member in network.alive()}


def changes_of(network: GossipNetwork) -> list[Change]:
    """Return a list that grows with every change of a view from now on."""
    changes: list[Change] = []
    network.on_change = changes.append
    return changes
