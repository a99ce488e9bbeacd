"""Addresses, paths, networks and status ranges as one writes them, brought to one spelling each.

A backend is "host:port", or "https://host:port" where TLS is spoken to it. Names are not resolved here.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from swayam_proxy.config.errors import RefusedValueError
from swayam_proxy.config.toml_text import brief_value

_HOST: Final = re.compile(r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?$")
_HOST_PORT: Final = re.compile(
    r"^(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^:/\[\]@\s]+)):(?P<port>[0-9]{1,5})$"
)
_STATUSES: Final = re.compile(r"^([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?$")
_TODO: Final = 'write "host:port" or "https://host:port", such as "10.0.0.7:9001"'


def split_host_port(text: str, todo: str = _TODO) -> tuple[str, int]:
    """Read "host:port" or "[v6]:port"; raises `RefusedValueError`."""
    match = _HOST_PORT.match(text.strip())
    if match is None:
        what = "has no port" if _HOST.match(text) else "is not an address"
        raise RefusedValueError(f'is "{text:.80}", which {what}', todo)
    host, port = match["six"] or match["host"], int(match["port"])
    if not 1 <= port <= 65535:
        raise RefusedValueError(
            f'is "{text:.80}", but there is no port {port}', "write a port from 1 to 65535"
        )
    if not is_host(host):
        raise RefusedValueError(f'is "{text:.80}", but "{host}" is neither a name nor an IP address', todo)
    return host.lower(), port


def is_host(text: str) -> bool:
    """Say whether `text` can be the name or the IP address of a machine."""
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        try:
            ip_address(text)
        except ValueError:
            return False
        return True
    return _HOST.match(text) is not None


def join_host_port(host: str, port: int) -> str:
    """Write an address so that `split_host_port` reads it again."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_backend_address(value: Any) -> str:
    """Bring a backend's address to one spelling: "host:port", or "https://host:port"."""
    if not isinstance(value, str):
        raise RefusedValueError(f"is {brief_value(value)}, not an address", _TODO)
    scheme, separator, rest = value.strip().rpartition("://")
    if separator and scheme.lower() not in ("http", "https"):
        raise RefusedValueError(f'is "{value:.80}", but only http and https backends are known', _TODO)
    if rest.removesuffix("/").count("/"):
        raise RefusedValueError(f'is "{value:.80}", but a backend has no path', _TODO)
    address = join_host_port(*split_host_port(rest.removesuffix("/")))
    return f"https://{address}" if scheme.lower() == "https" else address


def parse_host(value: Any) -> str:
    """Read the name or IP address to listen on."""
    if not isinstance(value, str) or not is_host(value.strip().strip("[]")):
        todo = 'write "127.0.0.1" for this machine only, "0.0.0.0" for all its addresses'
        raise RefusedValueError(f"is {brief_value(value)}, not a host", todo)
    return value.strip().strip("[]").lower()


def is_loopback(host: str) -> bool:
    """Say whether only this machine can connect to `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_network(value: Any) -> str:
    """Read an IP network or a single IP address; returns the network."""
    try:
        return str(ip_network(value.strip(), strict=False)) if isinstance(value, str) else _refuse(value)
    except ValueError as error:
        todo = 'write an IP address or a network, such as "10.0.0.0/8"'
        raise RefusedValueError(f"is {brief_value(value)}, not a network", todo) from error


def _refuse(value: object) -> str:
    raise ValueError(value)


def network(text: str) -> IPv4Network | IPv6Network:
    """Turn what `parse_network` returned into the object that addresses are looked up in."""
    return ip_network(text)


def parse_statuses(value: Any) -> str:
    """Read one status code or an inclusive range of them."""
    match = _STATUSES.match(value.strip()) if isinstance(value, str) else None
    if match is None or (match[2] or match[1]) < match[1]:
        raise RefusedValueError(
            f"is {brief_value(value)}, not a range of status codes", 'write "200" or "200-299"'
        )
    return value.strip() if isinstance(value, str) else ""


def status_range(text: str) -> tuple[int, int]:
    """Turn what `parse_statuses` returned into its two inclusive ends."""
    low, _, high = text.partition("-")
    return int(low), int(high or low)


def parse_path(value: Any) -> Any:
    """Read the path of a request, without a query."""
    if not isinstance(value, str):
        return value
    if (
        not value.startswith("/")
        or not value.isascii()
        or not value.isprintable()
        or set(value) & set(' ?#"')
    ):
        todo = (
            f'write a path that begins with "/", such as "/{value.lstrip("/").split("?")[0].strip() or "v2"}"'
        )
        raise RefusedValueError(f'is "{value:.80}", not a path', todo)
    return value


BackendAddress = Annotated[
    str,
    BeforeValidator(parse_backend_address),
    WithJsonSchema({"type": "string", "pattern": "^(https?://)?.+:[0-9]+$"}),
]
Host = Annotated[str, BeforeValidator(parse_host), WithJsonSchema({"type": "string"})]
Network = Annotated[str, BeforeValidator(parse_network), WithJsonSchema({"type": "string"})]
UrlPath = Annotated[
    str,
    BeforeValidator(parse_path),
    Field(max_length=2048),
    WithJsonSchema({"type": "string", "pattern": "^/"}),
]
Statuses = Annotated[
    str, BeforeValidator(parse_statuses), WithJsonSchema({"type": "string", "pattern": _STATUSES.pattern})
]
