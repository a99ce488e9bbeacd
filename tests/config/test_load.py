"""The configuration in force and the origin of each value."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swayam_proxy.cli.configuration import toml_lines
from swayam_proxy.config.schema import Config
from swayam_proxy.config.toml_text import toml_value
from tests.config.conftest import MINIMAL, Read


def test_every_value_has_an_origin(read: Read) -> None:
    """Values of the file are told with their line, others are defaults; nothing is left out."""
    loaded = read("[timeouts]\nconnect = '2s'\n" + MINIMAL)
    name = loaded.source.file_name
    origins = {".".join(map(str, path)): (value, origin) for path, value, origin in loaded.values()}
    assert origins["timeouts.connect"] == ("2s", f"{name}:2")
    assert origins["timeouts.total"] == ("5m", "default")
    assert origins["services.digits.backends"] == (["127.0.0.1:9001", "127.0.0.1:9002"], f"{name}:5")
    assert origins["services.digits.sla.level"] == (0.99, f"{name}:6")
    assert origins["services.digits.sla.burst"] == (2.0, "default")
    assert {origin for _, origin in origins.values()} == {
        "default",
        *(f"{name}:{line}" for line in (2, 5, 6)),
    }


NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,9}\Z")
DURATIONS = st.integers(1, 10**9).map(lambda microseconds: f"{microseconds}us")
SERVICES = st.fixed_dictionaries(
    {
        "backends": st.lists(st.integers(10_000, 20_000), min_size=1, max_size=3, unique=True).map(
            lambda ports: [f"10.0.0.1:{port}" for port in ports]
        ),
        "sla": st.fixed_dictionaries(
            {
                "response_time": st.just("1s"),
                "level": st.floats(0.01, 0.99),
                "burst": st.just("auto") | st.floats(1, 9),
            }
        ),
    },
    optional={
        "slots": st.integers(1, 9),
        "execution_time": DURATIONS,
        "observe_only": st.booleans(),
        "host_header": st.sampled_from(["a.example", "b:8080"]),
        "health": st.fixed_dictionaries({"statuses": st.just(["200", "300-399"]), "rise": st.integers(1, 5)}),
    },
)


@given(st.dictionaries(NAMES, SERVICES, min_size=1, max_size=3), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_what_is_shown_is_the_same_configuration(
    read: Read, services: dict[str, Any], with_origin: bool
) -> None:
    """The output of show-config, with origins or without, is a file that means the same."""
    for number, service in enumerate(services.values()):
        service["routes"] = [{"path_prefix": f"/{number}", "headers": {"x-a": 'quo"te\\ \n'}}]
    loaded = read(f"services = {toml_value(services)}")
    again = read("\n".join(toml_lines(loaded, with_origin)))
    assert again.config == loaded.config == Config.model_validate({"services": services})
