"""How the demonstration looks: a live page on a terminal, plain lines elsewhere.

Pure functions from readings to text and tables; every sign differs without colour, too.
"""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from _demo.stage import Part, Script
from _demo.state import BackendView, History, Reading

_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKS_ASCII = "_.-=+*#@"
_SECONDS_SHOWN = 60
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
    "#": "busy", "=": "idle", "+": "warm, not in use", "~": "set-up", "-": "draining", ".": "cold",
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


def page(
    script: Script, readings: Mapping[str, Reading], histories: Mapping[str, History], *, is_ascii: bool
) -> RenderableType:
    """Return the whole live view."""
    title = f"Swayam: {script.proxies_count} proxies decide alone, {script.backends_count} backends"
    at_s = max(reading.at_s for reading in readings.values())
    total = f" of {script.duration_s:.0f}" if script.duration_s < 3600 else ""
    subtitle = f"{at_s:.0f}{total} s, Ctrl-C ends it"
    parts: list[RenderableType] = [Text("each service's backends 1 to n, second by second", "dim")]
    for part in script.parts:
        reading, history = readings[part.name], histories[part.name]
        parts.append(_headline(script, part, reading))
        parts.append(_strips(part, reading, history, is_ascii=is_ascii))
    parts.append(_proxies_table(script, readings))
    parts.append(_legend(is_ascii))
    return Panel(Group(*parts), title=title, subtitle=subtitle, box=box.ASCII if is_ascii else box.ROUNDED)


def addresses_text(admins: Sequence[str]) -> str:
    """Say where to look while it runs."""
    lines = [f"  http://{admin}/   http://{admin}/state   http://{admin}/metrics" for admin in admins]
    return "\n".join(["admin page, state and metrics of each proxy:", *lines])


def promise_text(script: Script) -> str:
    """Return the promise in words."""
    return f"promise: {script.level:.0%} within {script.response_time_s * 1e3:g} ms"


def line(script: Script, readings: Mapping[str, Reading]) -> str:
    """Return one plain line of the present state."""
    at_s = max(reading.at_s for reading in readings.values())
    parts = [f"{at_s:5.0f} s"]
    for part in script.parts:
        reading = readings[part.name]
        prefixes = ",".join(str(proxy.prefix) for proxy in reading.answering) or "-"
        bar = "".join(sign_of(one) for one in reading.merged)
        share = "-" if reading.share_within is None else f"{reading.share_within:.2%}"
        parts.append(
            f"{part.name} {reading.rate_per_s:5.1f}/s  prefix {prefixes} of {part.backends_count}  "
            f"[{bar}]  within {share}"
        )
    return "  ".join(parts)


def _headline(script: Script, part: Part, reading: Reading) -> Text:
    headline = Text(f"{part.name}", "bold")
    headline.append(f"  load {reading.rate_per_s:.1f}/s", "not bold")
    headline.append(f"  prefix {reading.prefix} of {part.backends_count}", "not bold")
    headline.append("  within promise ", "not bold")
    headline.append(_share(reading.share_within, script.level))
    headline.append(f" ({script.level:.0%} within {script.response_time_s * 1e3:g} ms)", "not bold dim")
    return headline


def _strips(part: Part, reading: Reading, history: History, *, is_ascii: bool) -> Table:
    """Return the load over the last minute, and under it each backend's states."""
    seconds = history.of_last_seconds(_SECONDS_SHOWN) or [reading]
    rates = [one.rate_per_s for one in seconds]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, width=6)
    table.add_column(no_wrap=True)
    table.add_row("load", sparkline(rates, max(rates), is_ascii=is_ascii))
    for index in range(1, part.backends_count + 1):
        strip = Text()
        for one in seconds:
            merged = one.merged
            sign = sign_of(merged[index - 1]) if index <= len(merged) else " "
            strip.append(sign if is_ascii else _CELLS.get(sign, sign), _STYLES.get(sign, ""))
        table.add_row(str(index), strip)
    return table


def _proxies_table(script: Script, readings: Mapping[str, Reading]) -> Table:
    """Return what each proxy counts and decides, side by side for the services."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("proxy", no_wrap=True)
    table.add_column("F", justify="right", no_wrap=True)
    for part in script.parts:
        table.add_column(f"{part.name}/s", justify="right", no_wrap=True)
        table.add_column("prefix", justify="right", no_wrap=True)
        table.add_column("why", no_wrap=True)
    for number in range(script.proxies_count):
        proxies = [readings[part.name].proxies[number] for part in script.parts]
        if None in proxies:
            table.add_row(str(number + 1), "", "does not answer")
            continue
        cells = [str(number + 1), str(proxies[0].frontends_count if proxies[0] else "")]
        for proxy in proxies:
            if proxy is not None:
                cells += [f"{proxy.rate_per_s:.1f}", str(proxy.prefix), proxy.reason]
        table.add_row(*cells)
    return table


def _legend(is_ascii: bool) -> Text:
    legend = Text(style="dim", no_wrap=True)
    for sign, meaning in _MEANINGS.items():
        legend.append(f"{sign if is_ascii else _CELLS[sign]} {meaning}   ")
    return legend


def _share(share: float | None, level: float) -> Text:
    if share is None:
        return Text("-")
    return Text(f"{share:.2%}", "green" if share >= level else "red")
