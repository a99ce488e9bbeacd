"""Addresses, networks and status ranges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swayam_proxy.config.addresses import (
    is_loopback,
    join_host_port,
    parse_backend_address,
    parse_host,
    parse_network,
    parse_statuses,
    split_host_port,
    status_range,
)
from swayam_proxy.config.errors import RefusedValueError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9001", "127.0.0.1:9001"),
        ("Models.Example.com:80", "models.example.com:80"),
        ("http://a:1", "a:1"),
        ("HTTPS://A:1/", "https://a:1"),
        ("[::1]:9001", "[::1]:9001"),
        (" a_b:65535 ", "a_b:65535"),
    ],
)
def test_backend_addresses_get_one_spelling(text: str, address: str) -> None:
    """Case, "http://" and a last slash make no difference, so that duplicates are seen."""
    assert parse_backend_address(text) == address


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a",
        ":1",
        "a:0",
        "a:65536",
        "a:b",
        "::1:9001",
        "ftp://a:1",
        "a:1/path",
        "1.2.3:80",
        "a b:1",
        "u@h:1",
        9001,
        None,
    ],
)
def test_what_is_no_backend_is_refused(value: object) -> None:
    """No port, no such port, paths, users, other schemes and half an IP address are refused."""
    with pytest.raises(RefusedValueError) as caught:
        parse_backend_address(value)
    assert "write" in caught.value.todo


@given(st.ip_addresses(), st.integers(min_value=1, max_value=65535))
def test_addresses_survive_being_written(ip: object, port: int) -> None:
    """An IP address of either kind and a port can be written and read back."""
    host, again = split_host_port(join_host_port(str(ip), port))
    assert (host, again) == (str(ip), port)


@given(st.text(max_size=40))
def test_no_text_is_worse_than_refused(text: str) -> None:
    """Whatever is written, it is read or refused; nothing else happens."""
    try:
        address = parse_backend_address(text)
    except RefusedValueError:
        return
    assert parse_backend_address(address) == address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    """Only what this machine alone can reach counts as loopback; an unknown name does not."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("value", ["", "a b", "300.1.1.1", "1.2.3", 5, None, "a:b"])
def test_what_is_no_host_is_refused(value: object) -> None:
    """Ports, spaces and half an IP address are no host to listen on."""
    with pytest.raises(RefusedValueError):
        parse_host(value)


def test_networks_get_one_spelling() -> None:
    """A single address is a network of one; bits of the host part are cleared."""
    assert parse_network("10.1.2.3") == "10.1.2.3/32"
    assert parse_network("10.1.2.3/8") == "10.0.0.0/8"
    assert parse_network("fd00::1/64") == "fd00::/64"


@pytest.mark.parametrize("value", ["", "10.0.0.0/33", "example.com", 10, None, ["10.0.0.0/8"]])
def test_what_is_no_network_is_refused(value: object) -> None:
    """Names, wide masks and numbers are refused."""
    with pytest.raises(RefusedValueError):
        parse_network(value)


def test_status_ranges_are_inclusive() -> None:
    """One code is a range of one."""
    assert status_range(parse_statuses("200-299")) == (200, 299)
    assert status_range(parse_statuses(" 204 ")) == (204, 204)


@pytest.mark.parametrize("value", ["", "20", "600", "299-200", "200-", "2xx", 200, None])
def test_what_is_no_status_range_is_refused(value: object) -> None:
    """Backward ranges, unknown codes and bare numbers are refused."""
    with pytest.raises(RefusedValueError):
        parse_statuses(value)
