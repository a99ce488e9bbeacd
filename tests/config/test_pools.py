"""Pools of machines: what a service on one gets, and what pools and servers must not say."""

import pytest

from swayam_proxy.config.machines import Pool, Server
from swayam_proxy.config.quantities import parse_duration
from swayam_proxy.config.section import defaults_of
from swayam_proxy.core.machine import REST_S
from swayam_proxy.core.rendezvous import ordered
from swayam_proxy.core.vocabulary import DispatchPolicy
from swayam_proxy.sidecar.settings import (
    HealthSettings,
    LifeSettings,
    MachineSettings,
    ServerSettings,
    SidecarSettings,
)
from swayam_proxy.wiring import frontend_spec, live_settings, machine_settings
from tests.config.conftest import Complaints, Read

POOL = """
[pools.gpu]
machines = ["10.0.0.1:9001", "10.0.0.2:9001", { address = "10.0.0.3:9001", room = 2 }]

[services.a]
pool = "gpu"
sla = { response_time = "1s", level = 0.99 }
routes = [{ path_prefix = "/a" }]
"""
OTHER = """
[services.b]
sla = { response_time = "1s", level = 0.99 }
routes = [{ path_prefix = "/b" }]
"""
MACHINES = {"10.0.0.1:9001": 1.0, "10.0.0.2:9001": 1.0, "10.0.0.3:9001": 2.0}


def test_a_service_on_a_pool_has_one_backend_on_each_machine(read: Read) -> None:
    """In its own order, with sidecars and late binding, all its requests and control connections naming it;
    the token is the pool's.
    """
    config = read(POOL.replace("[services.a]", 'token = "s3cret"\n[services.a]')).config
    (spec,) = frontend_spec(config, "f").services
    assert [backend.address for backend in spec.backends] == ordered("a", MACHINES)
    assert spec.set_up_on_demand and spec.shares_machines
    assert spec.dispatch is DispatchPolicy.LATE_BINDING
    (settings,) = live_settings(config).services
    assert settings.sidecar is not None
    assert settings.sidecar.token == "s3cret"
    assert settings.sidecar.service_line == b"Swayam-Service: a\r\n"
    plain = live_settings(read().config).services[0]
    assert plain.sidecar is None


def test_a_machine_is_told_of_all_services_of_its_pool(read: Read) -> None:
    """How each is started, and the room of this machine, which an option may overrule."""
    server = (
        '\n[services.{0}.server]\ncommand = ["serve", "{{port}}"]\nhealth = "/up"\nidle = "0s"\n'
        'output = "{0}-{{port}}.log"\n'
    )
    text = (
        POOL
        + "slots = 3"
        + server.format("a")
        + OTHER
        + 'backends = ["10.0.0.9:1"]\nsidecar = {}'
        + server.format("b")
    )
    config = read(text).config
    settings = machine_settings(config, "gpu", ("10.0.0.3", 9001))
    assert settings.room_count == 2
    assert machine_settings(config, "gpu", ("10.0.0.1", 9001)).room_count == 1
    assert machine_settings(config, "gpu", ("10.0.0.1", 9001), 7).room_count == 7
    ((name, sidecar),) = settings.services
    assert name == "a"
    assert sidecar.server == ServerSettings(("serve", "{port}"), output_path="a-9001.log")
    assert (sidecar.slots, sidecar.health.path, sidecar.life.idle_s) == (3, "/up", float("inf"))


def test_defaults_agree_with_the_sidecars(read: Read) -> None:
    """What is not said about a server is what `swayam sidecar` takes, too."""
    told = defaults_of(Server)
    life, server = LifeSettings(), ServerSettings()
    assert parse_duration(told["idle"]) == life.idle_s
    assert parse_duration(told["setup_timeout"]) == life.setup_timeout_s
    assert parse_duration(told["drain"]) == life.drain_s
    assert parse_duration(told["stop_grace"]) == server.stop_grace_s
    assert told["misses"] == HealthSettings().fall_count
    assert parse_duration(told["lease"]) == SidecarSettings(server).lease_s
    assert parse_duration(defaults_of(Pool)["rest"]) == REST_S == MachineSettings((), 1).rest_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            POOL.replace('pool = "gpu"', 'pool = "gpuu"'),
            'swayam.toml:6: services.a.pool is "gpuu", which is no pool\n  did you mean "gpu"?',
        ),
        (POOL.replace('pool = "gpu"', 'pool = "x"'), "  add a table [pools.x]"),
        (
            POOL + 'backends = ["10.0.0.9:1"]',
            "services.a.pool is given beside backends\n  take one of the two out",
        ),
        (POOL + "backend = []", 'services.a.backend is no known key\n  did you mean "backends"?'),
        (
            POOL.replace("room = 2", "rooms = 2"),
            'pools.gpu.machines[3].rooms is no known key\n  did you mean "room"?',
        ),
        (POOL.replace("[pools.gpu]", "[pool.gpu]"), 'pool is no known key\n  did you mean "pools"?'),
        (POOL.replace("room = 2", "room = 0"), "room is 0, but must be at least 1"),
        (POOL.replace("[pools.gpu]", '[pools."g u"]'), "is no name of a pool\n  write letters"),
        (
            POOL.replace("10.0.0.2", "10.0.0.1"),
            'pools.gpu.machines[2] is "10.0.0.1:9001", as entry 1 is already\n  name each machine once',
        ),
        (POOL.replace('"10.0.0.2:9001"', "7"), "pools.gpu.machines[2] is 7, not a machine"),
        (
            POOL.replace('"10.0.0.2', '"https://10.0.0.2'),
            'is "https://10.0.0.2:9001", but machines are spoken to without TLS',
        ),
        (POOL + "max = 4", "services.a.max is 4, but there are 3 backends"),
        (POOL + "min = 4", "services.a.min is 4, but there are 3 backends"),
        (
            POOL + "min = 3\n" + OTHER + 'pool = "gpu"\nmin = 2',
            "pools.gpu has room for 4 services in all, but the min of its services add up to 5\n"
            "  add machines or room, or write a smaller min",
        ),
        (
            POOL + 'sidecar = { token = "x" }',
            "services.a.sidecar.token is given, but machines belong to a pool\n  write it as pools.gpu.token",
        ),
        (OTHER + "backends = []", "services.b.backends has 0 entries, but needs at least 1"),
        (OTHER, "services.b.backends is missing"),
        (
            POOL + OTHER + 'backends = ["10.0.0.1:9001"]\nsidecar = {}',
            'services.b.backends[1] is "10.0.0.1:9001", which pool gpu already has; '
            "a sidecar stands before one service only\n  give each its own, or put them on a pool",
        ),
        (
            OTHER
            + 'backends = ["h:1"]\nsidecar = {}\n'
            + OTHER.replace("b]", "c]").replace("/b", "/c")
            + 'backends = ["h:1"]\nsidecar = {}',
            'services.c.backends[1] is "h:1", which service b already has',
        ),
        (POOL + "server = {}", "services.a.server.command is missing\n  add command ="),
        (
            POOL + 'server = { command = ["x"], health = "up" }',
            'services.a.server.health is "up", not a path',
        ),
        (
            OTHER + 'backends = ["https://h:1"]\nserver = { command = ["x", "{port}"] }',
            "services.b.server is given, but servers are started without TLS",
        ),
        (
            OTHER + 'backends = ["h:1"]\nserver = { command = ["x", "{port}"], output = "log" }',
            "services.b.server.output is given, but there is no sidecar",
        ),
    ],
)
def test_contradictions(complaints: Complaints, text: str, message: str) -> None:
    """What is wrong with pools is said with the place, the key, and what would be right."""
    assert message in complaints(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            POOL + OTHER.replace("b]", "b]\nbackends = ['h:1']") + "[pools.idle]\nmachines = ['h:2']",
            "is used by no",
        ),
        (
            # two machines with room for two: a and b may both be on the first one, and c wants both machines
            '[pools.p]\nmachines = ["h:1", "h:2"]\nroom = 2\n'
            + "".join(
                OTHER.replace("b]", f"{name}]").replace("/b", f"/{name}") + f'pool = "p"\nmin = {least}\n'
                for name, least in (("b", 1), ("c", 1), ("d", 2))
            ),
            "is 2, but the others of [pools.p] can fill 1 of its machines",
        ),
        (POOL + 'server = { command = ["x"] }', "does not say {port}"),
        (POOL + 'server = { command = ["x", "{port}"], idle = "1s" }', 'write "5s" or more'),
    ],
)
def test_doubts(read: Read, text: str, message: str) -> None:
    """What may be meant is only told."""
    assert any(message in str(warning) for warning in read(text).warnings)
