"""What the demonstration shows, from one answer of the proxies to lines and to the exit status."""

import json
import re
import tomllib
from dataclasses import replace
from typing import Any

import pytest
from _demo import cli, view
from _demo.stage import configuration
from _demo.state import BackendLife, History, ProxyView, Reading, ask_backend, parse_state, read
from rich.console import Console

SCRIPT = cli.script_of(30.0, seed=7)
SERVICE, OTHER = SCRIPT.names
LIVES = [BackendLife(3, True, False), BackendLife(2, False, True), BackendLife(0, False, True)]


def backend(index: int, **changes: Any) -> dict[str, Any]:
    """Return one backend of a /state answer: warm, idle, in use up to the third."""
    plain = {
        "index": index, "address": f"127.0.0.1:{9000 + index}", "state": "warm", "slots": 1,
        "outstanding_count": 0, "in_use": index <= 3, "healthy": True, "ejected": False,
    }  # fmt: skip
    return {**plain, **changes}


def state(rate_per_s: float = 10.0, share_within: float | None = 0.995, **changes: Any) -> dict[str, Any]:
    """Return a /state answer with six backends."""
    backends = [
        backend(1, outstanding_count=1), backend(2), backend(3, ejected=True),
        backend(4), backend(5, state="warming"), backend(6, state="cold"),
    ]  # fmt: skip
    service = {
        "rate_per_s": rate_per_s, "forecast_per_s": 12.0, "prefix": 3, "needs": 3,
        "share_within": share_within,
        "decision": {"reason": "grow", "text": "load 30/s: needs 3"}, "backends": backends, **changes,
    }  # fmt: skip
    return {"frontends_estimate": 3, "services": {SERVICE: service}}


def proxy(rate_per_s: float = 10.0, share_within: float | None = 0.995, **changes: Any) -> ProxyView:
    """Return a proxy's view."""
    return parse_state("127.0.0.1:9080", state(rate_per_s, share_within, **changes), SERVICE)


def result(**changes: Any) -> dict[str, Any]:
    """Return a load generator's summary."""
    plain = {
        "requests_count": 1000, "good_count": 998, "within_share": 0.996, "invalid_reasons": [],
        "latency": {"p50_ms": 49.0, "p99_ms": 203.0, "max_ms": 330.0},
        "backends": {"2:9002": 400, "1:9001": 598},
    }  # fmt: skip
    return {**plain, **changes}


def test_every_state_has_its_sign() -> None:
    """Busy, idle, down, spare, in set-up and cold differ without any colour."""
    assert [view.sign_of(one) for one in proxy().backends] == ["#", "=", "!", "+", "~", "."]


def test_a_reading_adds_the_proxies_up() -> None:
    """Rates add up, the longest prefix counts, shares weigh by rate; who does not answer is left out."""
    history = History()
    reading = history.take((proxy(10.0, 0.9), proxy(30.0, 1.0, prefix=4), None), 100.0)
    assert reading.rate_per_s == 40.0
    assert reading.prefix == 4
    assert reading.share_within == pytest.approx(0.975)
    assert history.take((None, None), 101.0).share_within is None


def test_time_begins_with_the_load() -> None:
    """Readings before the first request are not kept; later ones count from it, one value per second."""
    history = History()
    for now in (50.0, 51.0):
        assert history.take((proxy(0.0),), now).at_s == 0.0
    assert not history.readings
    for step in range(9):
        history.take((proxy(float(step + 1), prefix=step),), 52.0 + step / 4)
    assert [reading.at_s for reading in history.readings][:2] == [0.0, 0.25]
    assert history.last_per_second(60, "rate_per_s") == [4.0, 8.0, 9.0]
    assert history.last_per_second(2, "prefix") == [7.0, 8.0]
    assert history.prefixes == list(range(9))


def both(reading: Reading) -> dict[str, Reading]:
    """Return the same reading for both services."""
    return {SERVICE: reading, OTHER: reading}


@pytest.mark.parametrize("is_ascii", [False, True])
def test_the_page_tells_all(is_ascii: bool) -> None:
    """Load, F, prefix, promise, each backend's states over time and a silent proxy, within 100 columns."""
    history = History()
    history.take((proxy(), proxy(prefix=2), proxy()), 0.0)
    history.take((proxy(backends=[backend(1, state="cold")]), None, None), 1.2)
    reading = history.take((proxy(), proxy(), None), 2.4)
    console = Console(width=100, color_system=None, record=True, file=None, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        page = view.page(SCRIPT, both(reading), {SERVICE: history, OTHER: history}, is_ascii=is_ascii)
        console.print(page)
    text = capture.get()
    for expected in (
        SERVICE,
        OTHER,
        "20.0/s",
        "3 of 7",
        "3 of 5",
        "99.50%",
        "99% within 300 ms",
        "does not answer",
        "grow",
    ):
        assert expected in text, expected
    assert re.search(r"\b1 #\.#" if is_ascii else "\\b1 █·█", text)
    assert re.search(r"\b5 ~ ~" if is_ascii else "\\b5 ░ ░", text)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert len(text.splitlines()) <= 24
    assert text.isascii() == is_ascii


def test_plain_lines() -> None:
    """Everything on one line that a log can keep."""
    reading = History().take((proxy(), None, proxy(prefix=4)), 1.0)
    line = view.line(SCRIPT, both(reading))
    for expected in (f"{SERVICE}  20.0/s", "prefix 3,4 of 7", "prefix 3,4 of 5", "[#=!+~.]"):
        assert expected in line, expected
    assert line.isascii()


def test_sparklines_stay_in_range() -> None:
    """Nothing below the lowest or above the highest bar, whatever the top."""
    assert view.sparkline([0, 5, 10, 20], 10, is_ascii=True) == "_+@@"
    assert view.sparkline([0.0], 0.0, is_ascii=False) == "▁"


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({}, 0, "kept"),
        ({"within_share": 0.99}, 0, "kept"),
        ({"within_share": 0.98}, 3, "MISSED"),
        ({"within_share": None, "requests_count": 0, "good_count": 0}, 1, "MISSED"),
    ],
)
def test_the_exit_status_is_the_promise(changes: dict[str, Any], status: int, word: str) -> None:
    """0 all kept, 3 one missed, 1 when nothing was measured; the summary says the same."""
    told = {SERVICE: result(), OTHER: result(**changes)}
    histories = {SERVICE: History(), OTHER: History()}
    assert cli.exit_status(SCRIPT, told) == status
    assert f"{OTHER}: promise {word}" in "\n".join(cli.summary_lines(SCRIPT, histories, told, LIVES))


def test_the_summary_names_what_matters() -> None:
    """Prefixes, requests per backend in order of the index, set-ups, and the generator's own doubts."""
    history = History()
    history.take((proxy(),), 1.0)
    history.take((proxy(prefix=5),), 2.0)
    results = {SERVICE: result(invalid_reasons=["it was late"]), OTHER: result()}
    text = "\n".join(cli.summary_lines(SCRIPT, {SERVICE: history, OTHER: History()}, results, LIVES))
    assert "between 3 and 5, 4.0 of 7" in text
    assert "598 400" in text
    assert "failed 2" in text
    assert "it was late" in text
    assert "set-ups 5, of which backends decommissioned themselves 4" in text


def test_the_configuration_is_valid_toml() -> None:
    """Each service has the promise of the script, its own backends, its own path, and sidecars."""
    script = replace(SCRIPT, response_time_s=0.2)
    addresses = [f"127.0.0.1:{port}" for port in range(1, script.backends_count + 1)]
    services = tomllib.loads(configuration(script, addresses))["services"]
    assert [services[name]["backends"] for name in SCRIPT.names] == [addresses[:7], addresses[7:]]
    for name in SCRIPT.names:
        sla = services[name]["sla"]
        assert (sla["response_time"], sla["level"]) == ("200ms", 0.99)
        assert services[name]["routes"] == [{"path_prefix": f"/v2/models/{name}"}]
        assert services[name]["sidecar"] == {}


def test_nobody_answers() -> None:
    """A proxy or backend that cannot be reached, or answers something else, is None and no error."""
    assert read(["127.0.0.1:1"], [SERVICE]) == {SERVICE: (None,)}
    assert ask_backend("127.0.0.1:1") is None
    with pytest.raises(KeyError):
        parse_state("a", json.loads('{"services": {}}'), SERVICE)
