"""The tables under [services.NAME]: one model behind one route, with one promise and one list of backends.

The docstring under each key becomes its description in the JSON Schema; config.example.toml tells
more. Defaults repeat those of `core.vocabulary` and `live.settings`, which this layer may not import in the
second case; a test holds them equal.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from swayam_proxy.config.addresses import BackendAddress, Statuses, UrlPath
from swayam_proxy.config.errors import RefusedValueError
from swayam_proxy.config.machines import Server, is_token
from swayam_proxy.config.quantities import Duration, PositiveDuration, Size
from swayam_proxy.config.section import Section, StringOrTable
from swayam_proxy.config.toml_text import brief_value

BACKENDS_COUNT_MAX: Final = 10_000
_TOKEN: Final = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")
_ROUTE_HOST: Final = re.compile(r"^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$|^\[[0-9a-f:.]+\]$")

ShareBelowOne = Annotated[float, Field(gt=0, lt=1)]


def _parse_burst(value: Any) -> float | None:
    if value == "auto" or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        shown = f'"{value:.80}"' if isinstance(value, str) else str(value).lower()
        todo = 'write a factor from 1 to 100, such as 2.0, or "auto"'
        raise RefusedValueError(f"is {shown}, not a burst factor", todo)
    return float(value)


def _parse_route_host(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _ROUTE_HOST.match(value.lower()):
        what = "but a route's host has no port" if re.search(r":[0-9]+$", value) else "not a host name"
        raise RefusedValueError(
            f'is "{value:.80}", {what}', 'write the name alone, such as "models.example.com"'
        )
    return value.lower()


def _parse_fields(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    for name in value:
        if not _TOKEN.match(name):
            raise RefusedValueError(
                f'has the name "{name:.80}", which no field can have', 'write it like "x-model"'
            )
    return {name.lower(): text for name, text in value.items()}


def _parse_host_header(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"[!-~]{1,255}", value):
        raise RefusedValueError(
            f"is {brief_value(value)}, not a Host field", 'write it like "models.internal:8080"'
        )
    return value


def _parse_backend(value: Any) -> Any:
    if not isinstance(value, str | dict):
        todo = 'write "host:port", or a table such as { address = "127.0.0.1:9001", slots = 4 }'
        raise RefusedValueError(f"is {brief_value(value)}, not a backend", todo)
    return {"address": value} if isinstance(value, str) else value


def _write_backend(backend: "Backend") -> str | dict[str, Any]:
    return backend.address if backend.slots is None else {"address": backend.address, "slots": backend.slots}


def _write_route(route: "Route") -> dict[str, Any]:
    """Leave out what only narrows a route and is not used: TOML has no null to write instead."""
    return {key: value for key, value in route if value or key == "path_prefix"}


Burst = Annotated[
    float | None,
    BeforeValidator(_parse_burst),
    PlainSerializer(lambda burst: "auto" if burst is None else burst),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1, "maximum": 100}, {"const": "auto"}]}),
]


class Backend(Section):
    """One place in the ordered list; a plain string is short for a table with nothing but the address."""

    address: BackendAddress = Field(examples=["127.0.0.1:9001"])
    """Where it listens: "host:port", or "https://host:port" where TLS is spoken to it."""
    slots: int | None = Field(default=None, ge=1, le=10_000, examples=[4])
    """How many requests it runs at once; left out, the service's `slots`."""


BackendEntry = Annotated[
    Backend, BeforeValidator(_parse_backend), PlainSerializer(_write_backend), StringOrTable()
]


class Route(Section):
    """What leads a request to the service: every condition given must hold, the most specific route wins."""

    path_prefix: UrlPath = "/"
    """Whole path segments: "/a" leads "/a" and "/a/b", not "/ab"."""
    host: Annotated[str | None, BeforeValidator(_parse_route_host)] = Field(
        default=None, examples=["models.example.com"]
    )
    """Only requests to this host, without a port; left out, any."""
    headers: Annotated[dict[str, str], BeforeValidator(_parse_fields)] = Field(default={})
    """Only requests that carry these fields with exactly these values."""
    strip_prefix: bool = False
    """Take the prefix off the path before the request is sent to a backend."""


RouteEntry = Annotated[Route, PlainSerializer(_write_route)]


class Promise(Section):
    """The SLA: the share `level` of requests is answered within `response_time`."""

    response_time: PositiveDuration = Field(examples=["500ms"])
    """The threshold, from the last byte of the request's head to the first of the answer's."""
    level: ShareBelowOne = Field(examples=[0.99])
    """Share of requests that must be faster, between 0 and 1."""
    burst: Burst = Field(default=2.0, examples=[2.0])
    """The rate may rise to this many times the forecast and the promise still holds; "auto": an upper
    quantile of the forecast itself decides."""


class Health(Section):
    """When a backend counts as down: active checks, and its own faults."""

    preset: Literal["none", "plain", "v2", "torchserve", "tf-serving"] = "none"
    """Which kind of server is checked; "none" sends no checks, faults alone tell."""
    path: UrlPath | None = Field(default=None, examples=["/health"])
    """Asked with GET; left out, the preset's own."""
    statuses: list[Statuses] = Field(default=["200-299"], min_length=1, max_length=20)
    """Status codes that count as healthy."""
    interval: PositiveDuration = 5.0
    """Time between two checks of one backend."""
    timeout: PositiveDuration = 1.0
    """A check without an answer after this long has failed."""
    rise: int = Field(default=2, ge=1, le=1000)
    """Successful checks in a row until a backend that was down is used again."""
    fall: int = Field(default=3, ge=1, le=1000)
    """Failed checks in a row until a backend counts as down."""
    eject_after_faults: int = Field(default=3, ge=1, le=1000)
    """Faults in a row (refused, reset, timed out) that eject a backend."""
    eject_base: PositiveDuration = 5.0
    """Length of the first ejection; every further one in a row doubles it."""
    eject_max: PositiveDuration = 60.0
    """No ejection is longer."""
    ejected_share_max: float = Field(default=0.5, ge=0, le=1)
    """At most this share of the prefix is ejected; beyond it all are used again (fail open), and it shows."""


class Queue(Section):
    """Bounds of the frontend's own queue."""

    count_max: int = Field(default=1000, ge=0, le=1_000_000)
    """Requests that may wait; the next one is refused with 503."""
    wait_max: PositiveDuration = 10.0
    """A request whose expected wait is longer is refused at once; one that waited as long, then."""
    outstanding_max: int = Field(default=16, ge=0, le=1_000_000)
    """dispatch = "random" only: requests of ours that one backend may hold beyond its slots."""


class Retry(Section):
    """Another backend for a request of which nothing was sent yet."""

    attempts_max: int = Field(default=3, ge=1, le=100)
    """Backends tried for one request, the first included."""
    budget_ratio: float = Field(default=0.2, ge=0, le=1)
    """Retries allowed per first attempt, over the last seconds."""


class ServiceTimeouts(Section):
    """What differs from [timeouts] for this service."""

    connect: PositiveDuration | None = Field(default=None, examples=["1s"])
    """See [timeouts]."""
    response_head: PositiveDuration | None = Field(default=None, examples=["2s"])
    """See [timeouts]."""
    response_idle: PositiveDuration | None = Field(default=None, examples=["2s"])
    """See [timeouts]."""
    request_body_idle: PositiveDuration | None = Field(default=None, examples=["10s"])
    """See [timeouts]."""
    backend_idle: PositiveDuration | None = Field(default=None, examples=["30s"])
    """See [timeouts]."""
    expect_continue: PositiveDuration | None = Field(default=None, examples=["1s"])
    """See [timeouts]."""
    total: PositiveDuration | None = Field(default=None, examples=["300s"])
    """See [timeouts]."""
    tunnel_idle: PositiveDuration | None = Field(default=None, examples=["1h"])
    """See [timeouts]."""


class ServiceLimits(Section):
    """What differs from [limits] for this service."""

    request_body_bytes_max: Size | None = Field(default=None, examples=["16MiB"])
    """Largest request body."""


class ServiceTls(Section):
    """How https backends are verified."""

    ca_file: str | None = Field(default=None, min_length=1, examples=["ca.pem"])
    """PEM file of the authorities to trust; left out, the system's."""
    server_name: str | None = Field(default=None, min_length=1, max_length=253, examples=["models.internal"])
    """Name that the certificate must carry; left out, the host of the address."""


class Sidecar(Section):
    """Backends that are `swayam sidecar`, or speak its protocol: set up on demand, shared by late binding."""

    token: SecretStr | None = Field(default=None, examples=["a-secret-of-yours"])
    """What the sidecars ask for; left out, they ask for nothing."""
    holds: int | None = Field(default=None, ge=1, le=100, examples=[3])
    """Backends at which a waiting request is held; left out: 3, or 6 where the promise is tight."""
    tries: int = Field(default=2, ge=0, le=100)
    """Backends that a request tries, one after another, before it waits."""

    _token = field_validator("token")(is_token)


class Service(Section):
    """One model behind one route."""

    backends: list[BackendEntry] = Field(
        max_length=BACKENDS_COUNT_MAX, examples=[["127.0.0.1:9001", "127.0.0.1:9002"]]
    )
    """The ordered list; all frontends must have the same one. The in-use prefix is its first n."""
    pool: str | None = Field(default=None, min_length=1, max_length=64, examples=["gpu"])
    """Name of the pool whose machines are its backends; instead of `backends`."""
    sla: Promise = Field(examples=[{"response_time": "500ms", "level": 0.99}])
    """The promise."""
    slots: int = Field(default=1, ge=1, le=10_000)
    """Requests that a backend runs at once, where its entry does not say so itself."""
    dispatch: Literal["random", "least-outstanding", "p2c", "late-binding"] = "p2c"
    """How a backend of the prefix is chosen; it decides how many are needed. With sidecars "late-binding"."""
    routes: list[RouteEntry] = Field(default=[Route()], min_length=1, max_length=1000)
    """What leads requests here; left out, every path of every host."""
    execution_time: PositiveDuration = 0.1
    """Expected mean time that a backend works on one request; used until enough were measured."""
    execution_cv: float = Field(default=0.3, ge=0, le=10)
    """Expected standard deviation of the execution time, divided by its mean."""
    setup_time: Duration = 0.0
    """Expected time from cold to warm; the forecast looks that far ahead."""
    min: int = Field(default=1, ge=0, le=BACKENDS_COUNT_MAX)
    """The prefix is never shorter; 0, with sidecars only, lets the last one go, too."""
    max: int | None = Field(default=None, ge=1, le=BACKENDS_COUNT_MAX, examples=[8])
    """The prefix is never longer; left out, the length of the list."""
    shrink_hold: Duration = 30.0
    """A smaller prefix must be enough for this long before it is taken."""
    tick: PositiveDuration = 1.0
    """Time between two decisions."""
    observe_only: bool = False
    """Decide and report, but send to the whole list."""
    host_header: Annotated[str | None, BeforeValidator(_parse_host_header)] = Field(
        default=None, examples=["models.internal"]
    )
    """Host field that backends get; left out, the client's."""
    health: Health = Health()
    """When a backend counts as down."""
    queue: Queue = Queue()
    """Bounds of the frontend's own queue."""
    retry: Retry = Retry()
    """Second attempts where nothing was sent."""
    timeouts: ServiceTimeouts = ServiceTimeouts()
    """What differs from [timeouts]."""
    limits: ServiceLimits = ServiceLimits()
    """What differs from [limits]."""
    tls: ServiceTls | None = None
    """How https backends are verified."""
    sidecar: Sidecar | None = None
    """Its backends have sidecars: they are set up on demand, and decommission themselves."""
    server: Server | None = None
    """How its model servers are started, where Swayam does that."""

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, values: Any) -> Any:
        """Machines of a pool are the backends, and have sidecars; sidecars bind late."""
        if not isinstance(values, dict):
            return values
        follows: dict[str, Any] = {}
        if values.get("pool") is not None:
            follows = {"backends": [], "sidecar": {}}
        if values.get("sidecar", follows.get("sidecar")) is not None:
            follows["dispatch"] = "late-binding"
        return {**follows, **values}
