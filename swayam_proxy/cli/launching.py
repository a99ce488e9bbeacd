"""What each of N launched proxies is told beside the file: its ports, and how many they are.

Pure: from a loaded configuration to command lines. Whoever runs them is `live.launcher`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
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


def command_line(config_path: Path, assignments: Sequence[str]) -> list[str]:
    """Return what starts one proxy with the same Python."""
    sets = [word for assignment in assignments for word in ("--set", assignment)]
    return [sys.executable, "-m", "swayam_proxy", "serve", "--config", str(config_path), *sets]


def _counting_up(first: int, count: int, key: str) -> list[int]:
    """Return `count` ports from `first` on; 0, which takes a free one, stays 0."""
    if first + count - 1 > PORT_MAX:
        todo = f"write at most {PORT_MAX - count + 1} for {count} processes"
        raise CommandFailed(f"{key} is {first}, and counting up from it the ports run out", todo, Exit.USAGE)
    return [first + number if first else 0 for number in range(count)]
