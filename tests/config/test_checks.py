"""Contradictions between keys that are right by themselves: what refuses to start, and what only warns."""

import pytest

from tests.config.conftest import MINIMAL, Complaints, Read


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "max = 3",
            "services.digits.max is 3, but there are 2 backends\n"
            "  write at most 2, or leave it out to use the whole list",
        ),
        ("min = 3", "services.digits.min is 3, but there are 2 backends\n  write at most 2, or add backends"),
        (
            "min = 2\nmax = 1",
            "services.digits.min is 2, which is more than max = 1\n  write a min that is at most max",
        ),
        (
            'shrink_hold = "500ms"',
            'services.digits.shrink_hold is "500ms", shorter than tick = "1s"\n'
            '  write a shrink_hold of several ticks, such as "30s"',
        ),
        (
            'timeouts.total = "400ms"',
            'services.digits.sla.response_time is "500ms", longer than '
            'services.digits.timeouts.total = "400ms"\n'
            "  raise services.digits.timeouts.total: it cuts off answers that keep the promise",
        ),
        (
            'health.path = "/x"',
            'services.digits.health.path is given, but preset = "none" checks nothing\n'
            '  write preset = "plain" to have it checked, or take path out',
        ),
        (
            'health.timeout = "6s"',
            'services.digits.health.timeout is "6s", longer than interval = "5s"\n'
            "  write a timeout that ends before the next check begins",
        ),
        (
            'health.eject_base = "2m"',
            'services.digits.health.eject_base is "2m", longer than eject_max = "1m"\n'
            "  write an eject_max that is longer",
        ),
        (
            'tls = { server_name = "x" }',
            "services.digits.tls is given, but no backend is spoken to by https\n"
            "  write its backends as https://host:port, or take the table tls out",
        ),
        (
            'routes = [{ path_prefix = "/a" }, { path_prefix = "/a/" }]',
            'services.digits.routes[2] is path_prefix = "/a/", which this service already has\n'
            "  give each service its own path_prefix, host or headers",
        ),
    ],
)
def test_a_service_that_contradicts_itself(complaints: Complaints, more: str, message: str) -> None:
    """Each pair of keys that cannot hold together is refused, with both named."""
    text = complaints(MINIMAL + more)
    where, _, rest = text.partition(": ")
    assert rest == message
    assert where.startswith("swayam.toml:")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            '[admin]\nhost = "0.0.0.0"',
            'swayam.toml:2: admin.host is "0.0.0.0", which other machines can reach\n'
            '  write host = "127.0.0.1", or allow_remote = true where the network is trusted',
        ),
        (
            "[listen]\nport = 9080",
            "swayam.toml: admin.port is 9080, the same as listen.port\n  give the two different ports",
        ),
        (
            '[listen]\nhost = "0.0.0.0"\nport = 7\n[admin]\nport = 7',
            "swayam.toml:5: admin.port is 7, the same as listen.port\n  give the two different ports",
        ),
        (
            "[listen]\nport = 9001",
            'swayam.toml:4: services.digits.backends[1] is "127.0.0.1:9001", where this proxy '
            "itself listens\n"
            "  name the model server's address",
        ),
        (
            '[process]\naccess_log = "x"\ndecision_log = "x"',
            'swayam.toml:3: process.decision_log is "x", the same as access_log\n  give each its own file',
        ),
        (
            '[process]\naccess_log = "off"\ndecision_log = "-"',
            'swayam.toml:3: process.decision_log is "-"\n  name a file, or write "off"',
        ),
        (
            '[services.other]\nbackends = ["b:1"]\nsla = { response_time = "1s", level = 0.9 }',
            'swayam.toml:4: services.digits.routes[1] is path_prefix = "/", which service "other" '
            "already has\n"
            "  give each service its own path_prefix, host or headers",
        ),
    ],
)
def test_tables_that_contradict_each_other(complaints: Complaints, tables: str, message: str) -> None:
    """Ports, logs and routes are taken once."""
    assert complaints(tables + MINIMAL) == message


@pytest.mark.parametrize(
    "tables",
    [
        '[admin]\nhost = "0.0.0.0"\nallow_remote = true',
        '[admin]\nhost = "::1"',
        '[listen]\nhost = "127.0.0.2"\nport = 9080',
        "[listen]\nport = 0\n[admin]\nport = 0",
        '[process]\naccess_log = "off"\ndecision_log = "off"',
        '[services.other]\nbackends = ["127.0.0.1:9001"]\nroutes = [{ headers = { x-model = "b" } }]\n'
        'sla = { response_time = "1s", level = 0.9 }',
        '[services.other]\nbackends = ["https://b:1"]\nroutes = [{ host = "b" }]\n'
        'tls = { server_name = "b" }\nsla = { response_time = "1s", level = 0.9 }',
        '[timeouts]\nresponse_head = "500ms"',
    ],
)
def test_what_only_looks_like_a_contradiction_passes(read: Read, tables: str) -> None:
    """The other side of each rule is allowed."""
    assert read(tables + MINIMAL).warnings == ()


def test_a_promise_that_no_backend_can_keep_only_warns(read: Read) -> None:
    """The expected execution time is a guess, so that doubt is told and nothing refused."""
    warnings = read(MINIMAL + 'execution_time = "1s"').warnings
    assert [(warning.key, warning.what) for warning in warnings] == [
        ("services.digits.sla.response_time", 'is "500ms", shorter than execution_time = "1s"')
    ]
