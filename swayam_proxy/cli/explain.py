"""explain: why the prefix of each service is what it is, and what would change it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from swayam_proxy.cli.admin_client import get_json
from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, admin_addresses_of, admin_options, examples, json_option


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam explain                         # all services of the proxy in ./swayam.toml
        swayam explain digits --admin 127.0.0.1:9080
        swayam explain --json
        """
    ),
)
@click.argument("service", required=False)
@admin_options
@json_option
def explain(
    service: str | None,
    config_path: Path,
    assignments: tuple[str, ...],
    admin_addresses: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say why a running proxy uses as many backends as it does.

    Rates are those of all frontends together unless they are called own. Exit status 4 when no proxy answers.
    """
    address = admin_addresses_of(config_path, assignments, admin_addresses)[0]
    answer = get_json(address, "/explain")
    try:
        services: dict[str, Any] = dict(answer["services"])
        if service is not None and service not in services:
            known = ", ".join(services) or "none that has decided yet"
            raise CommandFailed(f"no service {service!r} there", f"the proxy knows: {known}", Exit.USAGE)
        if service is not None:
            services = {service: services[service]}
        text = "\n\n".join("\n".join(lines_of(explanation)) for explanation in services.values())
    except (KeyError, TypeError, ValueError) as error:
        what = f"{address[0]}:{address[1]} answered something else than explanations ({error!r})"
        raise CommandFailed(what, "is it the admin address of a swayam proxy of this version?") from None
    click.echo(json.dumps({"services": services}, indent=2) if as_json else text)


def lines_of(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Tell one decision in words, the conclusion first."""
    decision = explanation["decision"]
    yield f"{explanation['service_name']}: {decision['needs']} backends needed ({decision['reason']})"
    yield f"  in force    for {explanation['in_force_for_s']:.0f} s"
    yield (
        f"  own rate    {decision['rate_per_s']:.1f}/s now, all {decision['frontends_count']} frontends "
        + (f"{decision['global_rate_per_s']:.1f}/s")
    )
    yield (
        f"  forecast    own {decision['forecast_per_s']:.1f}/s of {decision['global_forecast_per_s']:.1f}/s, "
        f"spread {decision['forecast_spread_per_s']:.1f}, in {decision['horizon_s']:.1f} s"
    )
    yield f"  load        {decision['load_per_s']:.1f}/s to be carried, burst included"
    yield (
        f"  execution   mean {decision['execution_mean_s'] * 1000:.1f} ms, "
        f"cv {decision['execution_cv']:.2f}, from {decision['samples_count']:.0f} samples, "
        f"fit off by {decision['fit_ks']:.3f} (KS)"
    )
    shares = ", ".join(f"{n}: {share:.3%}" for n, share in decision["attainment"])
    yield f"  attainment  {shares}"
    yield f"  dispatch    {decision['policy']}, backends {decision['utilisation']:.0%} busy"
    yield f"  binding     {binding_words(explanation)}"
    for change in change_words(explanation):
        yield f"  changes     {change}"


def binding_words(explanation: Mapping[str, Any]) -> str:
    """Say which constraint decides the number."""
    decision = explanation["decision"]
    if explanation["held"]:
        return f"the hold: {decision['model_needs']} would do now, shrink_hold keeps {decision['needs']}"
    if not decision["feasible"]:
        return "the execution time alone breaks the promise: no number of backends keeps it"
    if decision["reason"] in ("min", "max"):
        return f"your {decision['reason']}: the model asks for {decision['model_needs']}"
    return {
        "promise": "the promise: one backend less would break it",
        "load": "the load: one backend less could not carry it",
        "idle": "nothing: there is no load",
        "execution": "the execution time",
    }[decision["binding"]]


def change_words(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Say what would change the model's answer."""
    if explanation["grows_above_per_s"] is not None:
        yield f"more above a load of {explanation['grows_above_per_s']:.1f}/s"
    if explanation["shrinks_below_per_s"] is not None:
        yield f"less below a load of {explanation['shrinks_below_per_s']:.1f}/s"
    if explanation["grows_above_execution_s"] is not None:
        yield f"more above a mean execution of {explanation['grows_above_execution_s'] * 1000:.1f} ms"
