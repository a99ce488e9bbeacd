"""The file's JSON Schema, and the defaults: one truth in three places."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest

from swayam_proxy.config.quantities import DURATION_PATTERN
from swayam_proxy.config.schema import Config, json_schema
from swayam_proxy.config.section import Section, defaults_of, example_of, sections_within
from swayam_proxy.config.service import Service
from swayam_proxy.core.vocabulary import (
    DispatchPolicy,
    HealthSpec,
    QueueSpec,
    RetrySpec,
    RouteSpec,
    ServiceSpec,
    Sla,
)
from swayam_proxy.live.settings import (
    AdminSettings,
    Limits,
    ListenSettings,
    LiveSettings,
    ProbeSettings,
    ServiceSettings,
    Timeouts,
)
from swayam_proxy.wiring import frontend_spec, live_settings

SMALLEST = {"services": {"a": {"backends": ["a:1"], "sla": {"response_time": "50ms", "level": 0.9}}}}


@pytest.fixture
def config() -> Config:
    """The smallest configuration that is one."""
    return Config.model_validate(SMALLEST)


def test_defaults_of_the_process_are_those_of_its_settings(config: Config) -> None:
    """What the file leaves out is what the live process assumes by itself."""
    expected = LiveSettings(
        listen=(ListenSettings(),), admin=AdminSettings(), services=(ServiceSettings("a"),)
    )
    assert live_settings(config) == expected
    assert {name: getattr(Limits(), name) for name in Limits.__slots__} == dict(config.limits)
    assert {f"{name}_s" for name in type(config.timeouts).model_fields} == {
        each.name for each in fields(Timeouts)
    }


def test_defaults_of_a_service_are_those_of_the_rules(config: Config) -> None:
    """What the file leaves out is what the core assumes by itself."""
    (service,) = frontend_spec(config, "f").services
    expected = ServiceSpec("a", service.backends, Sla(0.05, 0.9))
    assert service == expected
    assert (service.health, service.queue, service.retry) == (HealthSpec(), QueueSpec(), RetrySpec())
    assert service.routes == (RouteSpec(),)
    assert service.dispatch is DispatchPolicy.P2C


def test_checks_have_the_timeout_of_their_settings() -> None:
    """Turning a preset on changes path and interval, nothing else."""
    table = {**SMALLEST["services"]["a"], "health": {"preset": "plain"}}
    (service,) = live_settings(Config.model_validate({"services": {"a": table}})).services
    assert service.probe == ProbeSettings(path="/", interval_s=5.0)


@pytest.mark.parametrize("section", list(sections_within(Config)), ids=lambda section: section.__name__)
def test_every_key_is_described(section: type[Section]) -> None:
    """Each key tells what it is; what must be given shows an example, and the example is right."""
    assert section.__doc__
    for key, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{key}"
        if field.is_required():
            assert field.examples, f"{section.__name__}.{key}"
    required = {
        key: example_of(section, key) for key, field in section.model_fields.items() if field.is_required()
    }
    section.model_validate(required)


def test_every_default_can_be_written_and_read() -> None:
    """Defaults obey the rules for written values: no default is one that a user could not set."""
    for section in sections_within(Config):
        written = {key: value for key, value in defaults_of(section).items() if value is not None}
        required = {
            key: example_of(section, key)
            for key, field in section.model_fields.items()
            if field.is_required()
        }
        read_back = section.model_validate(strip_none({**required, **written}))
        assert defaults_of(section).items() <= read_back.model_dump(mode="json").items()


def strip_none(value: Any) -> Any:
    """Take out what TOML cannot write."""
    if isinstance(value, dict):
        return {key: strip_none(item) for key, item in value.items() if item is not None}
    return value


def test_json_schema_fits_the_file() -> None:
    """Strict tables, durations as strings with a pattern, defaults as one writes them, no null."""
    schema = json_schema()
    text = json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert '"null"' not in text
    timeouts = schema["$defs"]["Timeouts"]["properties"]
    assert timeouts["keep_alive"]["pattern"] == DURATION_PATTERN
    assert timeouts["keep_alive"]["default"] == "1m15s"
    assert schema["$defs"]["Limits"]["properties"]["request_body_bytes_max"]["default"] == "2MiB"
    assert schema["$defs"]["Promise"]["required"] == ["response_time", "level"]
    references = set(re.findall(r"#/\$defs/(\w+)", text))
    assert references == set(schema["$defs"])
    assert set(schema["$defs"]["Service"]["properties"]) == set(Service.model_fields)
    for table in schema["$defs"].values():
        assert table["additionalProperties"] is False
