"""Gossip over real UDP sockets on loopback."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from swayam_proxy.core.events import Event, PeersCounted, PeersHeard
from swayam_proxy.core.model.execution import ExecutionStatistics, ExecutionSummary
from swayam_proxy.core.vocabulary import Sla
from swayam_proxy.live.gossip_udp import GossipEndpoint, config_hash, resolve
from swayam_proxy.live.settings import GossipSettings
from tests.core.playbook import service_spec
from tests.live.samples import decision

KEY = b"a key of sixteen bytes or more"


def _measured(_: str) -> ExecutionSummary:
    statistics = ExecutionStatistics()
    statistics.observe(0.05, 0.0)
    return statistics.summary(0.0)


class Group:
    """Endpoints that know the first one as their seed."""

    def __init__(self) -> None:
        self.endpoints: list[GossipEndpoint] = []
        self.events: list[list[Event]] = []
        self.seed: tuple[str, int] | None = None

    async def add(
        self, key: bytes = KEY, cluster: str = "c", response_time_s: float = 0.25
    ) -> GossipEndpoint:
        """Start one more member."""
        events: list[Event] = []
        seeds = () if self.seed is None else (self.seed,)
        endpoint = GossipEndpoint(
            GossipSettings(port=0, seeds=seeds, keys=(key,) if key else (), cluster=cluster, forget_s=0.2),
            f"p{len(self.endpoints)}",
            (service_spec(3, sla=Sla(response_time_s, 0.99)),),
            frontends_count=1,
            tell=events.append,
            measured=_measured,
            counted=lambda _: 0,
        )
        address = await endpoint.start()
        if self.seed is None:
            self.seed = ("127.0.0.1", int(address.rpartition(":")[2]))
        self.endpoints.append(endpoint)
        self.events.append(events)
        return endpoint

    def counts(self) -> list[int]:
        """Return how many members each one counts."""
        views = [endpoint.peers() for endpoint in self.endpoints]
        return [view.frontends_count for view in views if view is not None]


@pytest.fixture
async def group() -> AsyncIterator[Group]:
    """An empty group; its members are stopped afterwards."""
    made = Group()
    yield made
    for endpoint in made.endpoints:
        await endpoint.stop()


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


async def test_members_find_each_other_through_one_seed(group: Group) -> None:
    """Three members that know one address count three, and the rules are told."""
    for _ in range(3):
        await group.add()
    await until(lambda: group.counts() == [3, 3, 3])
    assert all(PeersCounted(3) in events for events in group.events)


async def test_forecasts_and_measurements_reach_the_others(group: Group) -> None:
    """What one frontend sees is told to the rules of the other at its next decision.

    Until it has counted for a while, that is what it expects.
    """
    first, second = await group.add(), await group.add()
    await until(lambda: group.counts() == [2, 2])
    first.decided(decision("digits", prefix=3, needs=3, forecast_per_s=40.0))

    def heard() -> bool:
        second.decided(decision("digits", prefix=3, needs=3, forecast_per_s=10.0))
        last = [event for event in group.events[1] if isinstance(event, PeersHeard)][-1]
        return last.fresh_count == 1 and last.rate_per_s == 40.0 and len(last.execution) > 0

    await until(heard)


async def test_a_member_that_leaves_is_not_counted(group: Group) -> None:
    """Saying good-bye is quicker than being found silent; the rules hear of it after the hold."""
    first, second = await group.add(), await group.add()
    await until(lambda: group.counts() == [2, 2])
    await second.stop()
    view = first.peers
    await until(lambda: (found := view()) is not None and found.frontends_count == 1)
    first.decided(decision("digits", prefix=1, needs=1))

    def told() -> bool:
        first.decided(decision("digits", prefix=1, needs=1))
        return group.events[0][-1] == PeersCounted(1) or PeersCounted(1) in group.events[0]

    await until(told)


async def test_another_key_or_cluster_is_a_stranger(group: Group) -> None:
    """Whoever has not the key, or belongs elsewhere, is not counted; the drops are."""
    first = await group.add()
    await group.add(key=b"another key of the same length")
    await group.add(cluster="elsewhere")
    snapshot = first.snapshot
    await until(lambda: (found := snapshot()) is not None and sum(found.rejected.values()) >= 4)
    assert group.counts() == [1, 1, 1]


async def test_junk_is_dropped_and_counted(group: Group) -> None:
    """Random bytes change nothing and raise nothing."""
    first = await group.add()
    assert group.seed is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for length in (0, 1, 30, 200, 1400):
            sender.sendto(b"\xa5" * length, group.seed)
    snapshot = first.snapshot
    await until(lambda: (found := snapshot()) is not None and sum(found.rejected.values()) >= 4)
    assert group.counts() == [1]


async def test_peers_with_another_promise_are_warned_of_once(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    """A frontend that runs another SLA of the same service is named in the log."""
    first = await group.add()
    second = await group.add(response_time_s=0.5)
    await until(lambda: group.counts() == [2, 2])
    second.decided(decision("digits", prefix=1, needs=1))
    with caplog.at_level(logging.WARNING, "swayam.gossip"):

        def warned() -> bool:
            first.decided(decision("digits", prefix=1, needs=1))
            return "p1 runs another configuration of service digits" in caplog.text

        await until(warned)


async def test_names_with_several_addresses_are_resolved_to_all() -> None:
    """An address is itself; a name that nobody knows is no error, for it may be known later."""
    assert [tuple(address) for address in await resolve("127.0.0.1", 7946)] == [("127.0.0.1", 7946)]
    assert await resolve("no-such-host.invalid", 7946) == []


def test_config_hash_sees_list_and_promise_alone() -> None:
    """Another order or promise is another configuration; another queue bound is not."""
    spec = service_spec(3)
    assert config_hash(spec) == config_hash(service_spec(3, shrink_hold_s=99.0))
    assert config_hash(spec) != config_hash(service_spec(3, backends=tuple(reversed(spec.backends))))
    assert config_hash(spec) != config_hash(service_spec(3, sla=Sla(0.5, 0.99)))
