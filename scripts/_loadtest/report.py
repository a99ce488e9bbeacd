"""The result as files and as lines: JSON, per-second CSV, `.hgrm`, and a summary for the terminal.

Knows how numbers are written down, not how they came about.
"""

import csv
import io
import json
import math
import os
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from _loadtest.records import Table
from _loadtest.slo import Check
from _loadtest.summary import Latency, Summary

SECONDS_COLUMNS = (
    "t_s", "intended", "sent", "good", "errors", "within", "p50_ms", "p99_ms", "max_ms", "lag_max_ms",
)  # fmt: skip


def environment(arguments: list[str], seed: int) -> dict[str, Any]:
    """Return what someone needs to know to repeat the test."""
    return {
        "arguments": arguments,
        "seed": seed,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "load_average": list(os.getloadavg()),
        "uvloop": _version("uvloop"),
        "httptools": _version("httptools"),
    }


def as_json(
    summary: Summary, checks: tuple[Check, ...], surroundings: dict[str, Any], note: str
) -> dict[str, Any]:
    """Return the whole result as plain JSON values; times in milliseconds, nan as null."""
    content = asdict(summary)
    for name in ("latency", "from_send", "first_byte", "lag"):
        content[name] = _latency_json(getattr(summary, name))
    content["valid"] = summary.is_valid
    content["statuses"] = {str(status): count for status, count in summary.statuses.items()}
    content["slo"] = [
        {"condition": one.condition.text, "value": one.value, "met": one.is_met} for one in checks
    ]
    content["note"] = note
    content["environment"] = surroundings
    plain: dict[str, Any] = _without_nan(content)
    return plain


Row = dict[str, float | int | str]
"""One second of the test, by `SECONDS_COLUMNS`; an empty text where nothing was measured."""


def seconds_rows(table: Table, response_time_s: float | None, duration_s: float) -> list[Row]:
    """Return one row per second of intended time, the warm-up included; empty values where nothing came."""
    second = np.floor(table.intended_s).astype(int)
    good = table.is_good
    latency_ms = table.latency_s * 1e3
    lag_ms = (table.sent_s - table.intended_s) * 1e3
    rows = []
    for at in range(max(1, math.ceil(duration_s))):
        chosen = second == at
        served_ms = latency_ms[chosen & good]
        lags_ms = lag_ms[chosen & ~np.isnan(lag_ms)]
        is_in_time = good & (latency_ms <= (response_time_s or math.inf) * 1e3)
        has_served = len(served_ms) > 0
        values = (
            at,
            int(chosen.sum()),
            int((np.floor(table.sent_s[~np.isnan(table.sent_s)]).astype(int) == at).sum()),
            len(served_ms),
            int(chosen.sum()) - len(served_ms),
            int((chosen & is_in_time).sum()),
            round(float(np.percentile(served_ms, 50)), 3) if has_served else "",
            round(float(np.percentile(served_ms, 99)), 3) if has_served else "",
            round(float(served_ms.max()), 3) if has_served else "",
            round(float(lags_ms.max()), 3) if len(lags_ms) else "",
        )
        rows.append(dict(zip(SECONDS_COLUMNS, values, strict=True)))
    return rows


def write_files(
    directory: Path, content: dict[str, Any], rows: list[Row], histogram: HdrHistogram
) -> list[Path]:
    """Write summary.json, seconds.csv and latency.hgrm (milliseconds) into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    summary_path, seconds_path = directory / "summary.json", directory / "seconds.csv"
    histogram_path = directory / "latency.hgrm"
    summary_path.write_text(json.dumps(content, indent=2) + "\n")
    with seconds_path.open("w", newline="") as file:
        writer = csv.DictWriter(file, SECONDS_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    written = io.BytesIO()
    if histogram.get_total_count():
        histogram.output_percentile_distribution(written, 1000.0)
    histogram_path.write_bytes(written.getvalue())
    return [summary_path, seconds_path, histogram_path]


def lines(summary: Summary, checks: tuple[Check, ...], note: str) -> list[str]:
    """Return the summary for people: three lines that matter, then what explains them."""
    within = ""
    if summary.within_share is not None and summary.response_time_s is not None:
        within = f", {summary.within_share:.2%} of all within {_ms(summary.response_time_s)}"
    text = [
        f"goodput  {summary.goodput_per_s:.1f}/s of {summary.offered_per_s:.1f}/s offered over "
        f"{summary.measured_s:.1f} s, errors {summary.error_share:.3%}{within}",
        f"latency  {_latency_line(summary.latency)}  (from the intended moment)",
        f"verdict  {_verdict(summary)}",
        f"from send  {_latency_line(summary.from_send)}",
        f"first byte {_latency_line(summary.first_byte)}",
        f"own lag    {_latency_line(summary.lag)}; {summary.processor_share:.0%} of one processor; "
        f"{summary.connections_opened_count} connections opened",
        f"requests   {summary.requests_count}: {_counts(summary.endings)}; "
        f"statuses {_counts({str(status): count for status, count in summary.statuses.items()})}",
    ]
    if summary.backends:
        text.append(f"backends   {_counts(summary.backends)}")
    if summary.stray_answers_count:
        text.append(f"WRONG      {summary.stray_answers_count} answers that nobody asked for")
    if note:
        text.append(f"note       {note}")
    text.extend(
        f"slo        {'met   ' if one.is_met else 'MISSED'} {one.condition.text} (is {_value(one)})"
        for one in checks
    )
    return text


def _verdict(summary: Summary) -> str:
    return "valid" if summary.is_valid else "INVALID: " + "; ".join(summary.invalid_reasons)


def _value(checked: Check) -> str:
    name = checked.condition.name
    if name in ("err", "within"):
        return f"{checked.value:.3%}"
    return f"{checked.value:.1f}/s" if name == "goodput" else _ms(checked.value)


def _latency_line(latency: Latency) -> str:
    if latency.count == 0:
        return "nothing measured"
    parts = [f"p{one:g} {_ms(latency.percentiles_s[one])}" for one in (50.0, 90.0, 99.0, 99.9)]
    return " ".join([*parts, f"max {_ms(latency.max_s)}"])


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    if math.isnan(milliseconds):
        return "nothing"
    return f"{milliseconds:.0f}ms" if milliseconds >= 100 else f"{milliseconds:.3g}ms"


def _counts(counts: dict[str, int], shown_max: int = 40) -> str:
    shown = [f"{name} {count}" for name, count in list(counts.items())[:shown_max]]
    if len(counts) > shown_max:
        shown.append(f"and {len(counts) - shown_max} more")
    return ", ".join(shown) or "none"


def _latency_json(latency: Latency) -> dict[str, Any]:
    percentiles = {f"p{one:g}_ms": _rounded_ms(value) for one, value in latency.percentiles_s.items()}
    return {
        "count": latency.count,
        "mean_ms": _rounded_ms(latency.mean_s),
        **percentiles,
        "max_ms": _rounded_ms(latency.max_s),
    }


def _rounded_ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(name): _without_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def arguments_of_this_process() -> list[str]:
    """Return the command line without the program's path."""
    return sys.argv[1:]
