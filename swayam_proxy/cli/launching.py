"""What each of N launched proxies is told beside the file: its ports, and how many they are.

From a loaded configuration to command lines; looks for free ports, and starts nothing. Whoever runs them is
`live.launcher`.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swayam_proxy.cli.failure import CommandFailed, Exit

if TYPE_CHECKING:
    from swayam_proxy.config.load import Loaded

PORT_MAX = 65535


def own_settings(loaded: Loaded, count: int, *, separate_ports: bool) -> list[list[str]]:
    """Return, for each process, the --set assignments of its own.

    Raises:
        CommandFailed: the ports do not suffice, or those of clients and operators would meet.
    """
    config = loaded.config
    listen_ports = _counting_up(config.listen.port, count if separate_ports else 1, "listen.port")
    admin_ports = _counting_up(config.admin.port, count, "admin.port")
    both = sorted((set(listen_ports) & set(admin_ports)) - {0})
    if both:
        todo = f"write listen.port and admin.port at least {count} apart"
        raise CommandFailed(f"port {both[0]} would be needed for clients and for operators", todo, Exit.USAGE)
    common = [] if loaded.source.origin_of(("peers", "count")) else [f"peers.count={count}"]
    if not separate_ports:
        common.append("listen.reuse_port=true")
        listen_ports *= count
    return [
        [f"listen.port={listen_port}", f"admin.port={admin_port}", *common]
        for listen_port, admin_port in zip(listen_ports, admin_ports, strict=True)
    ]


def gossip_settings(loaded: Loaded, count: int, free_ports: Callable[[int], list[int]]) -> list[list[str]]:
    """Return what lets the processes find each other: a port each, and one another as seeds.

    Without a table in the file they gossip on loopback at free ports, unless peers.count is written there:
    whoever does that knows of proxies elsewhere.

    Raises:
        CommandFailed: the ports do not suffice.
    """
    gossip = loaded.config.peers.gossip
    if gossip is None:
        if loaded.source.origin_of(("peers", "count")):
            return [[] for _ in range(count)]
        ports = free_ports(count)
        seeds = [f"127.0.0.1:{port}" for port in ports]
    else:
        ports = _counting_up(gossip.port, count, "peers.gossip.port")
        host = gossip.advertise or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(gossip.host, gossip.host)
        here = f"[{host}]" if ":" in host else host
        seeds = [*gossip.seeds, *(f"{here}:{port}" for port in ports if port)]
    return [[f"peers.gossip.port={port}", f"peers.gossip.seeds={json.dumps(seeds)}"] for port in ports]


def free_udp_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses at the moment."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def command_line(config_path: Path, assignments: Sequence[str]) -> list[str]:
    """Return what starts one proxy with the same Python."""
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    return [sys.executable, "-m", "swayam_proxy", "serve", "--config", str(config_path), *sets]


def gossip_key_of(loaded: Loaded) -> str | None:
    """Return a new key for processes that gossip by themselves; None where the file has its own."""
    gossip = loaded.config.peers.gossip
    alone = gossip is None and loaded.source.origin_of(("peers", "count"))
    return None if alone or (gossip is not None and gossip.keys) else secrets.token_hex(32)


def _counting_up(first: int, count: int, key: str) -> list[int]:
    """Return `count` ports from `first` on; 0, which takes a free one, stays 0."""
    if first + count - 1 > PORT_MAX:
        todo = f"write at most {PORT_MAX - count + 1} for {count} processes"
        raise CommandFailed(f"{key} is {first}, and counting up from it the ports run out", todo, Exit.USAGE)
    return [first + number if first else 0 for number in range(count)]
