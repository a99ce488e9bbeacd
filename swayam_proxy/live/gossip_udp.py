"""Gossip on the real network: one UDP socket, one timer, names of seeds resolved again and again.

Carries datagrams between the socket and `core.gossip.Membership`, publishes what each decision expects, and
tells the rules how many frontends there are and what they expect. Never blocks, never raises for what
arrives.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from ipaddress import ip_address
from random import Random, SystemRandom
from socket import AF_INET6, IPPROTO_UDP, SOCK_DGRAM

from swayam_proxy.core.events import Event, PeersCounted, PeersHeard
from swayam_proxy.core.gossip.config import GossipConfig
from swayam_proxy.core.gossip.executions import merged_executions, pack_executions
from swayam_proxy.core.gossip.identity import BOOT_ID_MAX, Address, Identity
from swayam_proxy.core.gossip.loads import ServicePayload
from swayam_proxy.core.gossip.membership import Membership
from swayam_proxy.core.gossip.outputs import GossipOutput, MemberJoined, MemberRemoved, SendDatagram
from swayam_proxy.core.gossip.seal import KeyRing
from swayam_proxy.core.gossip.view import FrontendsEstimate, GossipSnapshot, PeerView
from swayam_proxy.core.model.execution import ExecutionSummary
from swayam_proxy.core.vocabulary import NEVER, Decision, ServiceSpec
from swayam_proxy.live.settings import GossipSettings

COMPARE_S = 5.0
"""Between two looks at whether the others run the same configuration."""
RESOLVE_S = 5.0
"""Between two looks at the names of seeds: a headless service changes its addresses at any time."""
_BUFFER_BYTES = 1 << 20

logger = logging.getLogger("swayam.gossip")


class GossipEndpoint(asyncio.DatagramProtocol):
    """One member of the gossip on one UDP socket."""

    def __init__(
        self,
        settings: GossipSettings,
        name: str,
        services: Sequence[ServiceSpec],
        *,
        frontends_count: int,
        tell: Callable[[Event], None],
        measured: Callable[[str], ExecutionSummary],
        counted: Callable[[str], int],
        config: GossipConfig | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `tell` takes events for the rules, `measured` gives our own execution statistics.

        `counted` gives the number of arrivals so far.
        `frontends_count` is what the configuration expects until others were heard.
        """
        self._settings = settings
        self._name = name
        self._services = tuple(services)
        self._tell = tell
        self._measured = measured
        self._counted = counted
        self._clock = clock
        self._config = replace(config or GossipConfig(), forget_s=settings.forget_s)
        self._hashes = {service.name: config_hash(service) for service in services}
        self._estimate = FrontendsEstimate(frontends_count, settings.forget_s, clock())
        self._told_count = frontends_count
        self._transport: asyncio.DatagramTransport | None = None
        self._membership: Membership | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = NEVER
        self._resolver: asyncio.Task[None] | None = None
        self._compare_at = 0.0
        self._warned: frozenset[tuple[str, str]] = frozenset()

    async def start(self) -> str:
        """Bind and begin to look for others; return the address. `OSError` when it cannot be bound."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=(settings.host, settings.port)
        )
        host, port = transport.get_extra_info("sockname")[:2]
        own = Address(str(ip_address(settings.advertise or host)), port)
        identity = Identity(self._name, SystemRandom().randrange(1, BOOT_ID_MAX), own)
        self._membership = Membership(
            identity,
            [service.name for service in self._services],
            key_ring(settings),
            self._config,
            Random(identity.boot_id),
            self._clock(),
        )
        self._transport = transport
        self._resolver = loop.create_task(self._resolve_for_ever())
        self._arm()
        return f"[{own.host}]:{port}" if ":" in own.host else f"{own.host}:{port}"

    async def stop(self) -> None:
        """Say good-bye and close."""
        if self._resolver is not None:
            self._resolver.cancel()
            await asyncio.gather(self._resolver, return_exceptions=True)
        self.leave()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()

    # -- what the process asks and tells --

    def leave(self) -> None:
        """Say good-bye: from here on this frontend takes no more load, though it may have some to finish."""
        if self._membership is not None:
            self._perform(self._membership.leave(self._clock()))

    def decided(self, decision: Decision) -> None:
        """Publish what this frontend expects of a service, and tell the rules what the others do."""
        membership = self._membership
        if membership is None:
            return
        name, now = decision.service_name, self._clock()
        payload = ServicePayload(
            forecast_per_s=decision.forecast_per_s,
            arrivals_count=self._counted(name),
            prefix=min(decision.prefix, 0xFFFF),
            config_hash=self._hashes[name],
            execution=pack_executions(self._measured(name)),
        )
        membership.set_payload(name, payload, now)
        load = membership.peer_load(name, now)
        self._tell(
            PeersHeard(
                name,
                load.fresh_count + load.gone_count,
                load.fresh_rate_sum_per_s + load.gone_rate_per_s,
                merged_executions(load.executions),
            )
        )
        self._count(now)

    def peers(self) -> PeerView | None:
        """Return all members as this one sees them; None before the start."""
        return None if self._membership is None else self._membership.peers(self._clock())

    def snapshot(self) -> GossipSnapshot | None:
        """Return counters; None before the start."""
        return None if self._membership is None else self._membership.snapshot()

    def replace_keys(self, keys: Sequence[bytes]) -> list[str]:
        """Take a changed key ring; return the labels by which datagrams name its keys, the sealing one first.

        `ValueError` says why a ring is refused; the one in force then stays.
        """
        settings = replace(self._settings, keys=tuple(keys))
        ring = key_ring(settings)
        self._settings = settings
        if self._membership is not None:
            self._membership.replace_keys(ring)
        return ring.labels()

    # -- asyncio.DatagramProtocol --

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand one datagram to the membership, whatever it is."""
        if self._membership is not None:
            outputs = self._membership.receive(data, Address(addr[0], addr[1]), self._clock())
            if outputs:
                self._perform(outputs)
            self._arm()

    def error_received(self, exc: Exception) -> None:
        """Leave it: a member that cannot be reached is found out by its silence."""
        logger.debug("a datagram could not be sent: %s", exc)

    def _wake(self) -> None:
        # loops count in milliseconds and may be early, which must not make us come again and again
        now = max(self._armed_at, self._clock())
        self._timer, self._armed_at = None, NEVER
        if self._membership is not None:
            self._perform(self._membership.tick(now))
            self._arm()

    def _arm(self) -> None:
        assert self._membership is not None, "it is made before the first timer"
        due = self._membership.next_wakeup()
        if due >= self._armed_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = due
        delay_s = max(0.0, due - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._wake)

    def _perform(self, outputs: Sequence[GossipOutput]) -> None:
        transport, changed = self._transport, False
        for output in outputs:
            match output:
                case SendDatagram(address, datagram):
                    if transport is not None and not transport.is_closing():
                        transport.sendto(datagram, address)
                case MemberJoined(identity):
                    changed = True
                    logger.info("frontend %s joined, at %s:%d", identity.name, *identity.address)
                case MemberRemoved(identity, reason):
                    changed = True
                    logger.info("frontend %s is gone (%s)", identity.name, reason.value)
        if changed:
            self._count(self._clock())

    def _count(self, now: float) -> None:
        """Tell the rules when F has changed: it rises at once and falls after a hold."""
        membership = self._membership
        assert membership is not None, "somebody was counted"
        count = self._estimate.observe(membership.frontends_count(), now)
        if count != self._told_count:
            self._told_count = count
            self._tell(PeersCounted(count))
        if now >= self._compare_at:
            self._compare_at = now + COMPARE_S
            self._compare_configs(membership.peers(now))

    def _compare_configs(self, view: PeerView) -> None:
        """Warn once of each peer that runs another list or promise."""
        others = frozenset(view.other_configs)
        for service_name, member_name in sorted(others - self._warned):
            logger.warning("frontend %s runs another configuration of service %s", member_name, service_name)
        self._warned = others

    # -- seeds --

    async def _resolve_for_ever(self) -> None:
        while True:
            addresses = [address for seed in self._settings.seeds for address in await resolve(*seed)]
            assert self._membership is not None, "it is made before"
            self._membership.set_seeds(addresses)
            self._arm()
            await asyncio.sleep(RESOLVE_S)


async def resolve(host: str, port: int) -> list[Address]:
    """Return all addresses that a name stands for at present; none when it cannot be resolved."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=SOCK_DGRAM, proto=IPPROTO_UDP)
    except OSError as error:
        logger.debug("the seed %s cannot be resolved: %s", host, error)
        return []
    hosts = dict.fromkeys(
        str(address[0]).partition("%")[0] if family == AF_INET6 else str(address[0])
        for family, _, _, _, address in found
    )
    return [Address(str(ip_address(each)), port) for each in hosts]


def key_ring(settings: GossipSettings) -> KeyRing:
    """Return the keys: the first seals, all open. Without any it finds accidents only."""
    if settings.keys:
        return KeyRing.of_secrets(settings.keys, settings.cluster)
    return KeyRing.without_secret(settings.cluster)


def config_hash(service: ServiceSpec) -> int:
    """Return 64 bits over what all frontends must have alike: the ordered list, the promise, the bounds."""
    alike = (
        service.name,
        [(backend.address, backend.slots) for backend in service.backends],
        (service.sla.response_time_s, service.sla.level, service.sla.burst),
        (service.dispatch.value, service.prefix_min, service.prefix_max),
    )
    return int.from_bytes(blake2b(repr(alike).encode(), digest_size=8).digest())
