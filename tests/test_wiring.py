"""From the configuration to what the rules and the process are told."""

from ipaddress import ip_network
from typing import Any

import pytest

from swayam_proxy.config.schema import Config
from swayam_proxy.core.vocabulary import BackendSpec, RouteSpec
from swayam_proxy.live.settings import (
    AccessLogSettings,
    BackendTls,
    ProbeSettings,
    SidecarLinkSettings,
    TlsFiles,
)
from swayam_proxy.wiring import frontend_spec, live_settings, own_frontend_id

SERVICE = {"backends": ["a:1"], "sla": {"response_time": "50ms", "level": 0.9}}


def config_of(service: dict[str, Any] | None = None, **tables: Any) -> Config:
    """Return a configuration with one service, "digits"."""
    return Config.model_validate({"services": {"digits": {**SERVICE, **(service or {})}}, **tables})


@pytest.mark.parametrize(
    ("health", "path"),
    [
        ({"preset": "plain"}, "/"),
        ({"preset": "plain", "path": "/healthz?deep=1"}, None),
        ({"preset": "plain", "path": "/healthz"}, "/healthz"),
        ({"preset": "v2"}, "/v2/health/ready"),
        ({"preset": "torchserve"}, "/ping"),
        ({"preset": "tf-serving"}, "/v1/models/digits"),
    ],
)
def test_each_preset_asks_its_path(health: dict[str, Any], path: str | None) -> None:
    """A preset names the path of its kind of server; a path of one's own beats it; a query is no path."""
    if path is None:
        with pytest.raises(ValueError, match="not a path"):
            config_of({"health": health})
        return
    (service,) = live_settings(config_of({"health": health})).services
    assert service.probe.path == path
    assert service.probe.interval_s == 5.0


def test_without_a_preset_nothing_is_asked() -> None:
    """Interval 0 is what turns checks off, whatever interval the file has."""
    (service,) = live_settings(config_of({"health": {"interval": "1s"}})).services
    assert service.probe == ProbeSettings(interval_s=0.0)


def test_a_service_overrides_what_it_names_and_no_more() -> None:
    """Timeouts and limits of the service win over the file's, which win over the defaults."""
    config = config_of(
        {"timeouts": {"connect": "5s"}, "limits": {"request_body_bytes_max": "1KiB"}},
        timeouts={"connect": "3s", "total": "9s"},
        limits={"request_body_bytes_max": "5KiB"},
    )
    settings = live_settings(config)
    (service,) = settings.services
    assert (service.timeouts.connect_s, service.timeouts.total_s, service.timeouts.tunnel_idle_s) == (
        5,
        9,
        3600,
    )
    assert (settings.timeouts.connect_s, settings.timeouts.total_s) == (3, 9)
    assert (service.request_body_bytes_max, settings.limits.request_body_bytes_max) == (1024, 5120)


def test_backends_keep_order_spelling_and_slots() -> None:
    """The order of the list is the order of the prefix; entries without slots have the service's."""
    service = {"backends": ["B:2", {"address": "https://a:1", "slots": 7}], "slots": 3}
    (spec,) = frontend_spec(config_of(service), "f").services
    assert spec.backends == (BackendSpec("b:2", 3), BackendSpec("https://a:1", 7))


def test_routes_are_told_in_lower_case() -> None:
    """Hosts and names of fields have no case; values have."""
    route = {
        "path_prefix": "/X",
        "host": "A.Example",
        "headers": {"X-Model": "B", "Accept": "c"},
        "strip_prefix": True,
    }
    (spec,) = frontend_spec(config_of({"routes": [route]}), "f").services
    assert spec.routes == (
        RouteSpec("/X", "a.example", (("accept", "c"), ("x-model", "B")), strip_prefix=True),
    )


def test_the_promise_and_the_number_of_frontends_are_told() -> None:
    """A burst of "auto" is None to the rules."""
    sla = {"response_time": "250ms", "level": 0.95, "burst": "auto"}
    spec = frontend_spec(config_of({"sla": sla}, peers={"count": 3}), "f")
    assert spec.frontends_count == 3
    assert spec.frontend_id == "f"
    promise = spec.services[0].sla
    assert (promise.response_time_s, promise.level, promise.burst) == (0.25, 0.95, None)


def test_the_process_is_told_of_files_and_networks() -> None:
    """A log that is "off" has no file; certificates and trusted networks arrive as they were written."""
    config = config_of(
        {"backends": ["https://a:1"], "tls": {"ca_file": "ca.pem"}},
        listen={"tls": {"certificate": "c", "private_key": "k"}, "reuse_port": True, "port": 0},
        process={
            "access_log": "off",
            "decision_log": "d",
            "debug_headers": True,
            "trusted_proxies": ["10.1.2.3/8"],
        },
    )
    settings = live_settings(config)
    assert settings.listen[0].tls == TlsFiles("c", "k")
    assert settings.listen[0].reuse_port
    assert settings.services[0].backend_tls == BackendTls("ca.pem", None)
    assert settings.access_log == AccessLogSettings(None)
    assert settings.decision_log_path == "d"
    assert settings.debug_headers
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"),)


def test_frontends_of_one_machine_have_names_of_their_own() -> None:
    """The name holds the process, so that two on one machine differ."""
    import os

    assert own_frontend_id().endswith(f"-{os.getpid()}")


def test_sidecars_mean_set_up_on_demand() -> None:
    """The table of the sidecar reaches rules and process; the token travels, but not in any text."""
    config = config_of({"sidecar": {"token": "s3cret", "holds": 5, "tries": 0}})
    spec = frontend_spec(config, "f").services[0]
    assert spec.set_up_on_demand
    assert spec.dispatch == "late-binding"
    late = spec.late_binding
    assert (late.holds_count, late.tries_max, late.blind_tries_max) == (5, 0, 0)
    settings = live_settings(config).services[0].sidecar
    assert settings == SidecarLinkSettings("s3cret")
    assert "s3cret" not in repr(settings)
    plain = frontend_spec(config_of(), "f").services[0]
    assert not plain.set_up_on_demand
    assert live_settings(config_of()).services[0].sidecar is None
