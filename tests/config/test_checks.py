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
            'dispatch = "late-binding"',
            'services.digits.dispatch is "late-binding", which needs sidecars\n'
            "  write another one, or add the table [services.digits.sidecar] if its backends have sidecars",
        ),
        (
            "min = 0",
            "services.digits.min is 0, but its backends have no sidecars\n"
            "  write at least 1: only a sidecar can set up again what was let go",
        ),
        (
            'sidecar = {}\nhealth.preset = "v2"',
            'services.digits.health.preset is "v2", but sidecars tell by themselves\n'
            "  take the table health out: checks would count as requests and keep backends from idling",
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


def test_sidecars_are_spoken_to_without_tls(complaints: Complaints) -> None:
    """A backend with a sidecar cannot be https."""
    text = complaints(MINIMAL.replace('"127.0.0.1:9002"', '"https://b:9002"') + "sidecar = {}")
    assert 'backends[2] is "https://b:9002", but sidecars are spoken to without TLS' in text


def test_sidecars_change_the_default_dispatch(read: Read) -> None:
    """The table alone chooses late binding, unless another policy is written; 0 backends may be the least."""
    assert read().config.services["digits"].dispatch == "p2c"
    assert read(MINIMAL + "min = 0\nsidecar = {}").config.services["digits"].dispatch == "late-binding"
    loaded = read(MINIMAL + 'dispatch = "random"\nsidecar = {}')
    assert loaded.config.services["digits"].dispatch == "random"


def test_token_is_a_secret(read: Read, complaints: Complaints) -> None:
    """It comes from the file or the environment, is shown nowhere, and must be able to stand in a field."""
    variable = {"SWAYAM_SERVICES__DIGITS__SIDECAR__TOKEN": "s3cret-of-ours"}
    for loaded in (read(MINIMAL + 'sidecar.token = "s3cret-of-ours"'), read(MINIMAL, variable)):
        sidecar = loaded.config.services["digits"].sidecar
        assert sidecar is not None and sidecar.token is not None
        assert sidecar.token.get_secret_value() == "s3cret-of-ours"
        assert "s3cret-of-ours" not in str(loaded.config) + str(loaded.config.model_dump(mode="json"))
    text = complaints(MINIMAL + 'sidecar.token = "two words"')
    assert "services.digits.sidecar.token is not a token" in text
    assert "two words" not in text
