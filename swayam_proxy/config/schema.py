"""The whole file as types: every table, key, unit and default.

The docstring under each key becomes its description in the JSON Schema; config.example.toml tells more: the
reason for each default and the symptom when it is wrong. What two keys must not say together is in `checks`.
"""

from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, StringConstraints, field_validator

from swayam_proxy.config.addresses import Host, Network
from swayam_proxy.config.errors import RefusedValueError
from swayam_proxy.config.machines import Pool
from swayam_proxy.config.quantities import PositiveDuration, Size
from swayam_proxy.config.section import Section, TomlSchema, defaults_of, sections_within
from swayam_proxy.config.service import Backend, Service
from swayam_proxy.core.rendezvous import ordered

BY_NAME: Final = ("pools", "services")
"""Tables that hold one table for each name that the user gives."""
SCHEMA_ID: Final = "https://json-schema.org/draft/2020-12/schema"
Port = Annotated[int, Field(ge=0, le=65535)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
KEY_BYTES_MIN: Final = 16
SeedText = Annotated[str, StringConstraints(min_length=3, max_length=300, pattern=r"^.+:[0-9]{1,5}$")]
ServiceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Tls(Section):
    """TLS to clients."""

    certificate: FilePath = Field(examples=["server.pem"])
    """PEM file: the certificate and the chain above it."""
    private_key: FilePath = Field(examples=["server.key"])
    """PEM file: its private key."""


class Listen(Section):
    """Where clients connect."""

    host: Host = "127.0.0.1"
    """Address of this machine to listen on."""
    port: Port = 8080
    """TCP port; 0 takes a free one and says which."""
    reuse_port: bool = False
    """Let several processes listen on this port (SO_REUSEPORT); `swayam launch` turns it on by itself."""
    backlog: int = Field(default=1024, ge=1, le=65535)
    """Connections that the kernel keeps waiting until they are accepted."""
    tls: Tls | None = None
    """Certificate files; left out, plain HTTP."""


class Admin(Section):
    """Where operators connect: state, metrics, health of this proxy."""

    host: Host = "127.0.0.1"
    """Address of this machine to listen on."""
    port: Port = 9080
    """TCP port; 0 takes a free one and says which. Launched processes count up from it."""
    allow_remote: bool = False
    """Must be true for an address that other machines can reach: it has no password."""


class Process(Section):
    """The process itself."""

    loop: Literal["uvloop", "asyncio"] = "uvloop"
    """Event loop."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages on stderr."""
    log_format: Literal["text", "json"] = "text"
    """How messages on stderr look."""
    access_log: FilePath = Field(default="-", examples=["access.jsonl"])
    """File for one JSON line per request; "-" is stdout, "off" writes none."""
    decision_log: FilePath = Field(default="off", examples=["decisions.jsonl"])
    """File for one JSON line per decision; "off" writes none."""
    recording: FilePath = Field(default="off", examples=["recording.jsonl"])
    """File for all that the rules are told, for `swayam replay`: begun anew at the start, 200 MB at most."""
    debug_headers: bool = False
    """Add X-Swayam-Backend and its like to answers; they tell clients the topology."""
    trusted_proxies: list[Network] = Field(default=[], max_length=1000, examples=[["10.0.0.0/8"]])
    """Networks whose X-Forwarded-* fields are believed and continued."""


class Limits(Section):
    """How much a client or a backend may send; sizes in bytes or as "32KiB"."""

    request_head_bytes_max: Size = 32 * 1024
    """Request line and fields together; beyond: 431."""
    request_fields_max: int = Field(default=100, ge=1, le=100_000)
    """Fields of a request; beyond: 431."""
    request_target_bytes_max: Size = 8 * 1024
    """Path with query; beyond: 414."""
    response_head_bytes_max: Size = 64 * 1024
    """Status line and fields of a backend; beyond: 502."""
    response_fields_max: int = Field(default=200, ge=1, le=100_000)
    """Fields of a backend's answer; beyond: 502."""
    request_body_bytes_max: Size = 2 * 1024 * 1024
    """Request body; beyond: 413."""
    connections_max: int = Field(default=10_000, ge=1, le=10_000_000)
    """Client connections at once; further ones wait in the kernel."""
    pipelined_requests_max: int = Field(default=64, ge=1, le=100_000)
    """Requests that one connection may send ahead of its answers."""
    read_ahead_bytes_max: Size = 256 * 1024
    """Bytes kept per connection and direction for a slower receiver."""
    idle_connections_per_backend_max: int = Field(default=64, ge=0, le=100_000)
    """Idle connections kept open to each backend."""


class Timeouts(Section):
    """How long each phase may take."""

    connect: PositiveDuration = 1.0
    """Opening a connection to a backend."""
    response_head: PositiveDuration = 2.0
    """From the request sent to the head of the answer; beyond: 504."""
    response_idle: PositiveDuration = 2.0
    """Between two parts of an answer's body."""
    request_head: PositiveDuration = 10.0
    """For a client to send a whole request head; beyond: 408."""
    request_body_idle: PositiveDuration = 10.0
    """Between two parts of a request's body; beyond: 408."""
    client_write_idle: PositiveDuration = 30.0
    """For a client to take the next part of its answer."""
    keep_alive: PositiveDuration = 75.0
    """Between two requests of a client's connection."""
    backend_idle: PositiveDuration = 30.0
    """How long an idle connection to a backend is kept."""
    expect_continue: PositiveDuration = 1.0
    """How long a body is held back for a backend's 100 Continue."""
    total: PositiveDuration = 300.0
    """A whole request, from its head to the end of its answer."""
    tunnel_idle: PositiveDuration = 3600.0
    """Silence on an upgraded connection (WebSocket)."""
    drain: PositiveDuration = 5.0
    """For work in flight to end after SIGTERM."""


class Gossip(Section):
    """How frontends learn of each other: who is there, and what each expects."""

    host: Host = "127.0.0.1"
    """Address of this machine for the UDP socket; another than loopback needs a key."""
    port: Port = 7946
    """UDP port; 0 takes a free one. Launched processes take this one and those above it."""
    advertise: str | None = Field(default=None, min_length=1, max_length=45, examples=["10.0.0.5"])
    """IP address at which the others reach this frontend; left out, `host`."""
    seeds: list[SeedText] = Field(default=[], max_length=1024, examples=[["proxy-1:7946", "proxies:7946"]])
    """Where others may be found, as "host:port"; a name may stand for several addresses."""
    keys: list[SecretStr] = Field(default=[], max_length=8, examples=[["a secret of 16 characters or more"]])
    """Shared secrets: the first seals, all are accepted."""
    cluster: str = Field(default="swayam", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Frontends with another name here are strangers."""
    forget: PositiveDuration = 10.0
    """How long a frontend that has gone is still counted in decisions."""

    @field_validator("keys")
    @classmethod
    def _are_long_enough(cls, keys: list[SecretStr]) -> list[SecretStr]:
        if any(len(key.get_secret_value().encode()) < KEY_BYTES_MIN for key in keys):
            todo = f"give each at least {KEY_BYTES_MIN} bytes; `openssl rand -hex 32` makes one"
            raise RefusedValueError("has a key that is too short", todo)
        return keys

    @field_validator("advertise")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        try:
            return address if address is None else str(ip_address(address))
        except ValueError:
            raise RefusedValueError("is not an IP address", 'write it as "10.0.0.5"') from None


class Peers(Section):
    """The other frontends."""

    count: int = Field(default=1, ge=1, le=100_000)
    """Frontends that share the load, this one included; `swayam launch` sets it unless it is given."""
    gossip: Gossip | None = None
    """Lets them find out by themselves; `count` is then what is expected until others are heard."""


class Config(Section):
    """The whole file."""

    listen: Listen = Listen()
    """Where clients connect."""
    admin: Admin = Admin()
    """Where operators connect."""
    process: Process = Process()
    """The process itself."""
    limits: Limits = Limits()
    """How much may be sent."""
    timeouts: Timeouts = Timeouts()
    """How long each phase may take."""
    peers: Peers = Peers()
    """The other frontends."""
    pools: dict[ServiceName, Pool] = Field(
        default={}, max_length=1000, examples=[{"gpu": {"machines": ["10.0.0.11:9001"]}}]
    )
    """One table per pool of machines: [pools.NAME]."""
    services: dict[ServiceName, Service] = Field(
        default={}, max_length=1000, examples=[{"digits": {"backends": ["127.0.0.1:9001"]}}]
    )
    """One table per service: [services.NAME]."""

    def backends_of(self, service_name: str) -> list[Backend]:
        """Return the ordered list of a service: its own, or the machines of its pool."""
        service = self.services[service_name]
        if service.pool is None:
            return service.backends
        rooms = {address: float(room) for address, room in self.pools[service.pool].rooms().items()}
        return [Backend(address=address) for address in ordered(service_name, rooms)]


def json_schema() -> dict[str, Any]:
    """Describe the file in JSON Schema, for editors: durations and sizes as the strings that one writes."""
    described = Config.model_json_schema(mode="validation", schema_generator=TomlSchema)
    tables = described["$defs"] | {"Config": described}
    for section in sections_within(Config):
        defaults = defaults_of(section)
        for key, value in tables[section.__name__]["properties"].items():
            value.pop("default", None)
            if defaults.get(key) is not None and not isinstance(defaults[key], dict):
                value["default"] = defaults[key]
    return {"$schema": SCHEMA_ID, **described, "title": "Configuration of swayam"}
