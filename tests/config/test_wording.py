"""What is said about wrong values: the exact text, since an error message is part of the product."""

import pytest

from tests.config.conftest import MINIMAL, Complaints

SERVICE = "swayam.toml:2: services.digits"


def in_service(line: str) -> str:
    """Return the smallest configuration with one more line in its service, which is line 5."""
    return MINIMAL + line + "\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'min = "1"',
            'services.digits.min is the string "1", not an integer\n  write a whole number, such as min = 1',
        ),
        ("min = 1.5", "services.digits.min is 1.5, not an integer\n  write a whole number, such as min = 1"),
        (
            "min = true",
            "services.digits.min is true, not an integer\n  write a whole number, such as min = 1",
        ),
        (
            "slots = 0",
            "services.digits.slots is 0, but must be at least 1\n  write another number, such as slots = 1",
        ),
        (
            "max = 10001",
            "services.digits.max is 10001, but must be at most 10000\n"
            "  write another number, such as max = 8",
        ),
        (
            'execution_cv = "low"',
            'services.digits.execution_cv is the string "low", not a number\n'
            "  write a number without quotes, such as execution_cv = 0.3",
        ),
        (
            "execution_cv = inf",
            "services.digits.execution_cv is inf, not a finite number\n"
            "  write a finite number, such as execution_cv = 0.3",
        ),
        (
            'observe_only = "yes"',
            'services.digits.observe_only is the string "yes", not true or false\n'
            "  write true or false, without quotes, such as observe_only = false",
        ),
        (
            "tick = 1",
            'services.digits.tick is the bare number 1\n  write a string with a unit, such as "1s" or "1ms"',
        ),
        (
            'tick = "1 second"',
            'services.digits.tick is "1 second", not a duration\n'
            '  write numbers with us, ms, s, m or h, such as "250ms", "30s" or "1m30s"',
        ),
        (
            'tick = "0s"',
            'services.digits.tick is "0s", which is no time at all\n'
            '  write a longer one, such as tick = "1s"',
        ),
        (
            'dispatch = "p3c"',
            'services.digits.dispatch is "p3c", which is not known here\n'
            '  did you mean "p2c"? write one of "random", "least-outstanding", "p2c", "late-binding"',
        ),
        (
            'dispatch = "round robin"',
            'services.digits.dispatch is "round robin", which is not known here\n'
            '  write one of "random", "least-outstanding", "p2c", "late-binding"',
        ),
        (
            "dispatch = 5",
            "services.digits.dispatch is 5, which is not known here\n"
            '  write one of "random", "least-outstanding", "p2c", "late-binding"',
        ),
        (
            "queue = 5",
            "services.digits.queue is 5, not a table\n  write a table: [services.digits.queue]",
        ),
        (
            "routes = {}",
            "services.digits.routes is a table, not a list\n  write a list in brackets, such as "
            'routes = [{ path_prefix = "/" }]',
        ),
        (
            "routes = []",
            "services.digits.routes has 0 entries, but needs at least 1\n"
            '  write routes = [{ path_prefix = "/" }]',
        ),
        (
            'routes = [{ path_prefix = "v2/x" }]',
            'services.digits.routes[1].path_prefix is "v2/x", not a path\n'
            '  write a path that begins with "/", such as "/v2/x"',
        ),
        (
            'routes = [{ host = "a.example:80" }]',
            'services.digits.routes[1].host is "a.example:80", but a route\'s host has no port\n'
            '  write the name alone, such as "models.example.com"',
        ),
        (
            'routes = [{ headers = { "x model" = "a" } }]',
            'services.digits.routes[1].headers has the name "x model", which no field can have\n'
            '  write it like "x-model"',
        ),
        (
            "routes = [{ headers = { x-model = 1 } }]",
            "services.digits.routes[1].headers.x-model is 1, not a string\n  write it in quotes",
        ),
        (
            'health.statuses = ["2xx"]',
            'services.digits.health.statuses[1] is "2xx", not a range of status codes\n'
            '  write "200" or "200-299"',
        ),
        (
            'limits.request_body_bytes_max = "2megs"',
            'services.digits.limits.request_body_bytes_max is "2megs", not a size\n'
            '  write bytes as an integer, or a string with a unit, such as "32KiB" or "2MiB"',
        ),
        (
            'host_header = "a\\r\\nX: y"',
            'services.digits.host_header is "a\\r\\nX: y", not a Host field\n'
            '  write it like "models.internal:8080"',
        ),
        (
            "mni = 1",
            'services.digits.mni is no known key\n  did you mean "min"?',
        ),
        (
            'shrink-hold = "1s"',
            'services.digits.shrink-hold is no known key\n  did you mean "shrink_hold"?',
        ),
        (
            "level = 0.99",
            'services.digits.level is no known key\n  "level" is known in [services.NAME.sla]',
        ),
        (
            "connect = '1s'",
            "services.digits.connect is no known key\n"
            '  "connect" is known in [services.NAME.timeouts] and in [timeouts]',
        ),
        (
            "retry.color = 1",
            "services.digits.retry.color is no known key\n"
            "  take it out; known here: attempts_max, budget_ratio",
        ),
    ],
)
def test_wrong_values_in_a_service(complaints: Complaints, line: str, message: str) -> None:
    """Line, key, what it is, what would be right."""
    assert complaints(in_service(line)) == f"swayam.toml:5: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[services.digits]\nbackends = ["a:1"]\n',
            "swayam.toml:1: services.digits.sla is missing\n"
            '  add sla = { response_time = "500ms", level = 0.99 }',
        ),
        (
            '[services.digits]\nbackends = ["a:1"]\nsla = { level = 0.9 }\n',
            'swayam.toml:3: services.digits.sla.response_time is missing\n  add response_time = "500ms"',
        ),
        (
            '[services.digits]\nbackends = ["a:1"]\nsla = { response_time = "1s", level = 99 }\n',
            "swayam.toml:3: services.digits.sla.level is 99, but must be less than 1\n"
            "  write another number, such as level = 0.99",
        ),
        (
            '[services.digits]\nbackends = ["a:1"]\nsla = { response_time = "1s", level = 1.0 }\n',
            "swayam.toml:3: services.digits.sla.level is 1.0, but must be less than 1\n"
            "  write another number, such as level = 0.99",
        ),
        (
            '[services.digits]\nbackends = ["a:1"]\nsla = { response_time = "1s", level = 0.9, '
            'burst = "much" }\n',
            'swayam.toml:3: services.digits.sla.burst is "much", not a burst factor\n'
            '  write a factor from 1 to 100, such as 2.0, or "auto"',
        ),
        (
            '[services.digits]\nbackends = "a:1"\nsla = { response_time = "1s", level = 0.9 }\n',
            'swayam.toml:2: services.digits.backends is the string "a:1", not a list\n'
            '  write a list in brackets, such as backends = ["127.0.0.1:9001", "127.0.0.1:9002"]',
        ),
        (
            '[services.digits]\nbackends = ["a:1", "b", 5, { address = "c:1", slot = 2 }]\n'
            'sla = { response_time = "1s", level = 0.9 }\n',
            'swayam.toml:2: services.digits.backends[2].address is "b", which has no port\n'
            '  write "host:port" or "https://host:port", such as "10.0.0.7:9001"\n'
            "swayam.toml:2: services.digits.backends[3] is 5, not a backend\n"
            '  write "host:port", or a table such as { address = "127.0.0.1:9001", slots = 4 }\n'
            'swayam.toml:2: services.digits.backends[4].slot is no known key\n  did you mean "slots"?',
        ),
        (
            '[services."a b"]\nbackends = ["a:1"]\nsla = { response_time = "1s", level = 0.9 }\n',
            'swayam.toml:1: services."a b" is no name of a service\n'
            '  write letters, digits, "-", "_" or ".", at most 64, such as [services.digits]',
        ),
        ("services = 5\n", "swayam.toml:1: services is 5, not a table\n  write a table: [services.NAME]"),
        (
            "",
            "swayam.toml: services has no service\n"
            "  add a table [services.NAME] with backends and sla, as in config.example.toml",
        ),
        ("[lisen]\nport = 1\n" + MINIMAL, 'swayam.toml:1: lisen is no known key\n  did you mean "listen"?'),
        (
            "[listen]\nport = 70000\n" + MINIMAL,
            "swayam.toml:2: listen.port is 70000, but must be at most 65535\n"
            "  write another number, such as port = 8080",
        ),
        (
            '[listen]\nhost = "all"\ntls = { certificate = "a" }\n[process]\ntrusted_proxies = ["10/8x"]\n'
            + MINIMAL,
            'swayam.toml:3: listen.tls.private_key is missing\n  add private_key = "server.key"\n'
            'swayam.toml:5: process.trusted_proxies[1] is "10/8x", not a network\n'
            '  write an IP address or a network, such as "10.0.0.0/8"',
        ),
    ],
)
def test_wrong_files(complaints: Complaints, text: str, message: str) -> None:
    """What is missing, misplaced or of the wrong kind, in whole files."""
    assert complaints(text) == message


def test_everything_is_told_at_once(complaints: Complaints) -> None:
    """Wrong values, unknown keys, missing keys and contradictions beside them come together, each once."""
    text = """
[listen]
prot = 80
[admin]
host = "0.0.0.0"
[services.a]
backends = ["a:1", "a:1", "b"]
sla = { response_time = "1s", level = 2 }
min = 3
max = 2
[services.b]
sla = { response_time = "3s", level = 0.9 }
routes = [{ path_prefix = "/b" }]
[services.c]
backends = ["c:1"]
sla = { response_time = "1s", level = 0.9 }
max = 2
"""
    assert complaints(text) == (
        'swayam.toml:3: listen.prot is no known key\n  did you mean "port"?\n'
        'swayam.toml:7: services.a.backends[3].address is "b", which has no port\n'
        '  write "host:port" or "https://host:port", such as "10.0.0.7:9001"\n'
        "swayam.toml:8: services.a.sla.level is 2, but must be less than 1\n"
        "  write another number, such as level = 0.99\n"
        "swayam.toml:11: services.b.backends is missing\n"
        '  add backends = ["127.0.0.1:9001", "127.0.0.1:9002"]\n'
        'swayam.toml:5: admin.host is "0.0.0.0", which other machines can reach\n'
        '  write host = "127.0.0.1", or allow_remote = true where the network is trusted\n'
        'swayam.toml:14: services.c.routes[1] is path_prefix = "/", which service "a" already has\n'
        "  give each service its own path_prefix, host or headers\n"
        'swayam.toml:7: services.a.backends[2] is "a:1", as entry 1 is already\n'
        "  name each backend once; for more requests at a time raise its slots\n"
        "swayam.toml:9: services.a.min is 3, which is more than max = 2\n"
        "  write a min that is at most max\n"
        'swayam.toml:12: services.b.sla.response_time is "3s", longer than timeouts.response_head = "2s"\n'
        "  raise services.b.timeouts.response_head: it cuts off answers that keep the promise\n"
        "swayam.toml:17: services.c.max is 2, but there is 1 backend\n"
        "  write at most 1, or leave it out to use the whole list"
    )


def test_long_values_are_cut(complaints: Complaints) -> None:
    """A whole file pasted into a value does not fill the terminal."""
    text = complaints(in_service(f'dispatch = "{"x" * 5000}"'))
    assert len(text) < 300


@pytest.mark.parametrize(
    "line", ["tick = 2024-01-01", "min = 2024-01-01T00:00:00Z", "dispatch = [1]", "sla.x.y = 1"]
)
def test_any_toml_type_in_any_place_is_an_error_in_words(complaints: Complaints, line: str) -> None:
    """Dates, lists and tables where scalars belong are told, too."""
    text = complaints(in_service(line) if "sla" not in line else '[services.d]\nbackends = ["a:1"]\n' + line)
    assert text.count("\n") % 2 == 1
