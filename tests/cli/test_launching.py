"""What each launched proxy is told."""

import socket
from pathlib import Path

import pytest

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.launching import (
    command_line,
    free_udp_ports,
    gossip_key_of,
    gossip_settings,
    own_settings,
)
from swayam_proxy.config.load import Loaded, load
from tests.cli.conftest import CONFIG


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    """A configuration with listen.port 8000 and admin.port 9000."""
    path = tmp_path / "swayam.toml"
    path.write_text(CONFIG)
    return load(path, {"SWAYAM_LISTEN__PORT": "8000"}, ["admin.port=9000"])


def test_a_shared_port_is_shared_and_admin_ports_count_up(loaded: Loaded) -> None:
    """All listen on one port with SO_REUSEPORT; each has an admin port of its own; F is their number."""
    assert own_settings(loaded, 2, separate_ports=False) == [
        ["listen.port=8000", "admin.port=9000", "peers.count=2", "listen.reuse_port=true"],
        ["listen.port=8000", "admin.port=9001", "peers.count=2", "listen.reuse_port=true"],
    ]


def test_separate_ports_count_up(loaded: Loaded) -> None:
    """Each has its own port, and shares none."""
    assert own_settings(loaded, 2, separate_ports=True) == [
        ["listen.port=8000", "admin.port=9000", "peers.count=2"],
        ["listen.port=8001", "admin.port=9001", "peers.count=2"],
    ]


def test_port_0_stays_0(config_path: Path) -> None:
    """Free ports are taken by each process itself."""
    settings = own_settings(load(config_path, {}), 2, separate_ports=True)
    assert settings == [["listen.port=0", "admin.port=0", "peers.count=2"]] * 2


def test_a_given_number_of_peers_is_kept(config_path: Path) -> None:
    """Whoever writes peers.count knows of proxies elsewhere."""
    for origin in ({"SWAYAM_PEERS__COUNT": "6"}, {}):
        loaded = load(config_path, origin, [] if origin else ["peers.count=1"])
        for own in own_settings(loaded, 2, separate_ports=False):
            assert not any(setting.startswith("peers.") for setting in own)


@pytest.mark.parametrize(
    ("count", "separate", "sets", "what"),
    [
        (3, False, ["admin.port=65534"], "admin.port is 65534, and counting up from it the ports run out"),
        (3, True, ["listen.port=65534"], "listen.port is 65534, and counting up from it the ports run out"),
        (
            3,
            False,
            ["listen.port=9002", "admin.port=9000"],
            "port 9002 would be needed for clients and for operators",
        ),
        (
            3,
            True,
            ["listen.port=8998", "admin.port=9000"],
            "port 9000 would be needed for clients and for operators",
        ),
    ],
)
def test_ports_that_do_not_suffice(
    config_path: Path, count: int, separate: bool, sets: list[str], what: str
) -> None:
    """Ports that run out or meet are told before anything is started."""
    with pytest.raises(CommandFailed) as caught:
        own_settings(load(config_path, {}, sets), count, separate_ports=separate)
    assert (caught.value.what, caught.value.status) == (what, Exit.USAGE)


def test_the_command_line_repeats_every_setting() -> None:
    """A child is `swayam serve` with the same Python and the assignments in order."""
    words = command_line(Path("a b.toml"), ["x=1", "y='2'"])
    assert words[1:] == [
        "-m",
        "swayam_proxy",
        "serve",
        "--config",
        "a b.toml",
        "--set",
        "x=1",
        "--set",
        "y='2'",
    ]


def test_launched_processes_gossip_on_loopback_by_themselves(loaded: Loaded) -> None:
    """Each gets a free UDP port of its own and all ports as seeds; the key is random and never the same."""
    settings = gossip_settings(loaded, 2, lambda count: list(range(7001, 7001 + count)))
    seeds = 'peers.gossip.seeds=["127.0.0.1:7001", "127.0.0.1:7002"]'
    assert settings == [["peers.gossip.port=7001", seeds], ["peers.gossip.port=7002", seeds]]
    first, second = gossip_key_of(loaded), gossip_key_of(loaded)
    assert first is not None and len(first) == 64 and first != second


def test_a_gossip_table_is_kept_and_its_ports_count_up(config_path: Path) -> None:
    """The seeds of the file stay, the processes of this machine join them; keys of the file are used."""
    sets = [
        "peers.gossip.port=7946",
        'peers.gossip.seeds=["far:7946"]',
        'peers.gossip.keys=["0123456789abcdef"]',
    ]
    loaded = load(config_path, {}, sets)
    seeds = 'peers.gossip.seeds=["far:7946", "127.0.0.1:7946", "127.0.0.1:7947"]'
    assert gossip_settings(loaded, 2, lambda _: []) == [
        ["peers.gossip.port=7946", seeds],
        ["peers.gossip.port=7947", seeds],
    ]
    assert gossip_key_of(loaded) is None


def test_a_given_number_of_peers_means_no_gossip(config_path: Path) -> None:
    """Counting only the processes of this machine would be wrong where others are known to be elsewhere."""
    loaded = load(config_path, {}, ["peers.count=6"])
    assert gossip_settings(loaded, 2, lambda _: []) == [[], []]
    assert gossip_key_of(loaded) is None


def test_free_ports_are_free_and_different() -> None:
    """Every port can be bound right afterwards."""
    ports = free_udp_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.bind(("127.0.0.1", port))
