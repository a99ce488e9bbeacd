"""Small values that the tests of the live process share: specifications, records, decisions."""

from typing import Any

from swayam_proxy.core.vocabulary import (
    BackendSpec,
    Decision,
    DecisionReason,
    DispatchPolicy,
    FrontendSpec,
    RouteSpec,
    ServiceSpec,
    Sla,
)


def service_spec(
    name: str = "m", backends_count: int = 3, *, response_time_s: float = 0.3, **more: Any
) -> ServiceSpec:
    """Return a service under the path of its name, whose backends nobody runs; 0.3 s is no advised edge."""
    backends = tuple(BackendSpec(f"127.0.0.1:{index}") for index in range(1, backends_count + 1))
    routes = (RouteSpec(f"/{name}"),)
    return ServiceSpec(name=name, backends=backends, sla=Sla(response_time_s, 0.99), routes=routes, **more)


def frontend_spec(*services: ServiceSpec) -> FrontendSpec:
    """Return a frontend of these services, or of one."""
    return FrontendSpec("proxy-1", services or (service_spec(),))


def decision(service_name: str, prefix: int, needs: int, **more: Any) -> Decision:
    """Return a decision as the rules make it, with plausible numbers."""
    values: dict[str, Any] = {
        "service_name": service_name,
        "at": 10.0,
        "prefix": prefix,
        "needs": needs,
        "model_needs": needs,
        "binding": "promise",
        "utilisation": 0.5,
        "reason": DecisionReason.STEADY,
        "text": "load=40/s, needs=2, uses=3",
        "rate_per_s": 20.0,
        "global_rate_per_s": 40.0,
        "global_forecast_per_s": 42.0,
        "forecast_per_s": 21.0,
        "forecast_spread_per_s": 1.0,
        "load_per_s": 84.0,
        "dispersion": 1.0,
        "horizon_s": 1.0,
        "frontends_count": 2,
        "policy": DispatchPolicy.P2C,
        "execution_mean_s": 0.02,
        "execution_cv": 0.3,
        "samples_count": 100.0,
        "fit_ks": 0.02,
        "feasible": True,
        "attainment": ((needs - 1, 0.9), (needs, 0.995), (needs + 1, 0.999)),
        **more,
    }
    return Decision(**values)
