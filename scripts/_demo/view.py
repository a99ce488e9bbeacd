"""How the demonstration looks: a live page on a terminal, plain lines elsewhere.

Pure functions from readings to text and tables; every sign differs without colour, too.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from _demo.stage import Script
from _demo.state import BackendView, History, ProxyView, Reading

_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKS_ASCII = "_.-=+*#@"
_SPARKLINE_S = 60
_STYLES = {
    "#": "bold green",
    "=": "green",
    "+": "cyan",
    "~": "yellow",
    ".": "dim",
    "-": "yellow",
    "!": "bold red",
}
_CELLS = {"#": "█", "=": "▄", "+": "▁", "~": "░", ".": "·", "-": "▒", "!": "!"}
_MEANINGS = {
    "#": "in use, busy", "=": "in use, idle", "+": "warm, not in use", "~": "set up", ".": "cold",
    "!": "down",
}  # fmt: skip
_OUTSIDE = {"warm": "+", "warming": "~", "cold": ".", "draining": "-", "lost": "!"}


def sign_of(backend: BackendView) -> str:
    """Return the one-letter sign of a backend's state."""
    if backend.is_down:
        return "!"
    if backend.is_in_use and backend.state == "warm":
        return "#" if backend.is_busy else "="
    return _OUTSIDE.get(backend.state, "?")


def sparkline(values: Sequence[float], top: float, *, is_ascii: bool) -> str:
    """Return a line of bars from 0 to `top`."""
    sparks = _SPARKS_ASCII if is_ascii else _SPARKS
    steps = len(sparks) - 1
    return "".join(sparks[min(steps, max(0, round(value / max(top, 1e-9) * steps)))] for value in values)


def page(script: Script, reading: Reading, history: History, *, is_ascii: bool) -> RenderableType:
    """Return the whole live view."""
    backends_busy = busy_indices(reading)
    rates, prefixes = (history.last_per_second(_SPARKLINE_S, name) for name in ("rate_per_s", "prefix"))
    facts = Table.grid(padding=(0, 2))
    facts.add_row(
        "load", f"{reading.rate_per_s:6.1f}/s", sparkline(rates, max(rates, default=1.0), is_ascii=is_ascii)
    )
    top = float(script.backends_count)
    facts.add_row(
        "prefix",
        f"{reading.prefix:3d} of {script.backends_count}",
        sparkline(prefixes, top, is_ascii=is_ascii),
    )
    facts.add_row("within promise", _share(reading.share_within, script.level), promise_text(script))
    title = (
        f"Swayam: {script.proxies_count} proxies decide alone, {script.backends_count} backends, one service"
    )
    total = f" of {script.duration_s:.0f}" if script.duration_s < 3600 else ""
    subtitle = f"{reading.at_s:.0f}{total} s, Ctrl-C ends it"
    parts: list[RenderableType] = [
        facts,
        Text(),
        _proxies_table(reading, backends_busy, is_ascii=is_ascii),
        Text(f"proxy 1: {reading.answering[0].text}" if reading.answering else "", "dim", no_wrap=True),
        Text(),
        _legend(is_ascii),
    ]
    return Panel(Group(*parts), title=title, subtitle=subtitle, box=box.ASCII if is_ascii else box.ROUNDED)


def addresses_text(admins: Sequence[str]) -> str:
    """Say where to look while it runs."""
    lines = [f"  http://{admin}/   http://{admin}/state   http://{admin}/metrics" for admin in admins]
    return "\n".join(["admin page, state and metrics of each proxy:", *lines])


def promise_text(script: Script) -> str:
    """Return the promise in words."""
    return f"promise: {script.level:.0%} within {script.response_time_s * 1e3:g} ms"


def line(script: Script, reading: Reading) -> str:
    """Return one plain line of the present state."""
    prefixes = ",".join(str(proxy.prefix) for proxy in reading.answering) or "-"
    counts = ",".join(str(proxy.frontends_count) for proxy in reading.answering) or "-"
    bar = "".join(sign_of(one) for one in _merged(reading))
    share = "-" if reading.share_within is None else f"{reading.share_within:.2%}"
    return (
        f"{reading.at_s:5.0f} s  load {reading.rate_per_s:6.1f}/s  F {counts}  "
        f"prefix {prefixes} of {script.backends_count}  [{bar}]  within {share}"
    )


def busy_indices(reading: Reading) -> set[int]:
    """Return the backends that are busy for any proxy."""
    return {one.index for proxy in reading.answering for one in proxy.backends if one.is_busy}


def _merged(reading: Reading) -> list[BackendView]:
    """Return the backends as the proxy with the longest prefix sees them, busy if busy for anyone."""
    if not reading.answering:
        return []
    backends_busy = busy_indices(reading)
    widest = max(reading.answering, key=lambda proxy: proxy.prefix)
    return [_with_busy(one, backends_busy) for one in widest.backends]


def _with_busy(one: BackendView, backends_busy: set[int]) -> BackendView:
    return BackendView(one.index, one.state, one.is_in_use, one.index in backends_busy, one.is_down)


def _proxies_table(reading: Reading, backends_busy: set[int], *, is_ascii: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("proxy", "F", "rate/s", "forecast", "prefix"):
        table.add_column(name, justify="left" if name == "proxy" else "right", no_wrap=True)
    table.add_column("backends 1 to n", no_wrap=True)
    table.add_column("within", justify="right", no_wrap=True)
    table.add_column("why", no_wrap=True)
    for number, proxy in enumerate(reading.proxies, start=1):
        if proxy is None:
            table.add_row(f"{number}", "", "", "", "", "does not answer", "", "")
        else:
            table.add_row(*_proxy_cells(number, proxy, backends_busy, is_ascii=is_ascii))
    return table


def _proxy_cells(
    number: int, proxy: ProxyView, backends_busy: set[int], *, is_ascii: bool
) -> list[RenderableType]:
    return [
        str(number),
        str(proxy.frontends_count),
        f"{proxy.rate_per_s:.1f}",
        f"{proxy.forecast_per_s:.1f}",
        str(proxy.prefix),
        _bar([_with_busy(one, backends_busy) for one in proxy.backends], is_ascii=is_ascii),
        "-" if proxy.share_within is None else f"{proxy.share_within:.2%}",
        proxy.reason,
    ]


def _bar(backends: Sequence[BackendView], *, is_ascii: bool) -> Text:
    bar = Text()
    for backend in backends:
        sign = sign_of(backend)
        bar.append(sign if is_ascii else _CELLS.get(sign, sign), _STYLES.get(sign, ""))
        bar.append("" if is_ascii else " ")
    return bar


def _legend(is_ascii: bool) -> Text:
    legend = Text(style="dim")
    for sign, meaning in _MEANINGS.items():
        legend.append(f"{sign if is_ascii else _CELLS[sign]} {meaning}   ")
    return legend


def _share(share: float | None, level: float) -> Text:
    if share is None:
        return Text("-")
    return Text(f"{share:.2%}", "green" if share >= level else "red")
