"""What the live process is told beside the rules: addresses, limits, timeouts, TLS, probes.

Plain data, made by `wiring` from the configuration. All times in seconds, all sizes in bytes.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a client or a backend may send before it is told off."""

    request_head_bytes_max: int = 32 * 1024
    request_fields_max: int = 100
    request_target_bytes_max: int = 8 * 1024
    response_head_bytes_max: int = 64 * 1024
    response_fields_max: int = 200
    request_body_bytes_max: int = 2 * 1024 * 1024
    connections_max: int = 10_000
    pipelined_requests_max: int = 64
    read_ahead_bytes_max: int = 256 * 1024
    idle_connections_per_backend_max: int = 64


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase may take."""

    connect_s: float = 1.0
    response_head_s: float = 2.0
    response_idle_s: float = 2.0
    request_head_s: float = 10.0
    request_body_idle_s: float = 10.0
    client_write_idle_s: float = 30.0
    keep_alive_s: float = 75.0
    backend_idle_s: float = 30.0
    expect_continue_s: float = 1.0
    total_s: float = 300.0
    tunnel_idle_s: float = 3600.0
    drain_s: float = 5.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its key for the clients' side."""

    certificate: str
    private_key: str


@dataclass(frozen=True, slots=True)
class BackendTls:
    """How https backends are verified."""

    ca_file: str | None = None
    """None: the system's authorities."""
    server_name: str | None = None
    """None: the host of the address."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Active health checks of one service's backends; interval 0 turns them off."""

    path: str = "/"
    interval_s: float = 0.0
    timeout_s: float = 1.0
    statuses: tuple[tuple[int, int], ...] = ((200, 299),)
    """Inclusive ranges of status codes that count as healthy."""


@dataclass(frozen=True, slots=True)
class SidecarLinkSettings:
    """How the sidecars of one service's backends are spoken to."""

    token: str | None = field(default=None, repr=False)
    """None: they ask for none."""
    service_name: str | None = None
    """Which of the services of a machine is meant; None: the sidecar stands before one model server."""

    @property
    def service_line(self) -> bytes:
        """The field that says so to a machine; empty where there is no choice."""
        if self.service_name is None:
            return b""
        return b"Swayam-Service: %b\r\n" % self.service_name.encode("ascii")


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What the data plane needs to know of one service."""

    name: str
    timeouts: Timeouts = field(default_factory=Timeouts)
    request_body_bytes_max: int = 2 * 1024 * 1024
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    backend_tls: BackendTls = field(default_factory=BackendTls)
    host_header: str | None = None
    """Host field sent to backends; None keeps the client's."""
    sidecar: SidecarLinkSettings | None = None
    """None: its backends have no sidecars."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Where clients connect."""

    host: str = "127.0.0.1"
    port: int = 8080
    reuse_port: bool = False
    tls: TlsFiles | None = None
    backlog: int = 1024


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where operators connect; loopback unless told otherwise. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 9080


@dataclass(frozen=True, slots=True)
class GossipSettings:
    """How this frontend and the others learn of each other."""

    host: str = "127.0.0.1"
    port: int = 7946
    """UDP; 0 takes a free one."""
    advertise: str | None = None
    """IP address at which others reach us; None: the bound one."""
    seeds: tuple[tuple[str, int], ...] = ()
    """Hosts and ports at which others may be found."""
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    """The first seals, all open; none: loopback only."""
    cluster: str = "swayam"
    forget_s: float = 10.0
    """How long the number of frontends stays up after one has gone."""


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where the access log goes: "-" is standard output, None turns it off."""

    path: str | None = "-"


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Everything that one proxy process needs beside its `FrontendSpec`."""

    listen: tuple[ListenSettings, ...]
    admin: AdminSettings
    services: tuple[ServiceSettings, ...]
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    access_log: AccessLogSettings = field(default_factory=AccessLogSettings)
    decision_log_path: str | None = None
    recording_path: str | None = None
    gossip: GossipSettings | None = None
    """None: the other frontends are counted by the configuration alone."""
    debug_headers: bool = False
