"""replay: makes the decisions of a log again and reports every difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.options import CONTEXT, examples, json_option

_SHOWN_MAX = 20


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam replay decisions.jsonl          # exit status 1 when a decision comes out differently
        swayam replay decisions.jsonl --json
        swayam replay recording.jsonl          # what process.recording wrote, played from its beginning
        """
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def replay(file: Path, as_json: bool) -> None:
    """Make every decision of a decision log again, with this version of the model; or play a recording.

    The log is written where process.decision_log says: each decision is made again from its inputs. A
    recording is written where process.recording says: all calls are made again, in virtual time, to new rules
    with the same dice, which must choose the same backends and decide the same to the last digit. Exit status
    0 when all comes out the same, 1 when anything differs, 2 when the file cannot be read as either.
    """
    lines = _lines(file)
    if lines and lines[0][1].startswith('{"recording"'):
        compared, different, calls = _play(file, lines)
        told = f"{calls} calls and {compared} decisions made again, {len(different)} different"
    else:
        compared, different = _judge(file, lines)
        told = f"{compared} decisions made again, {len(different)} different"
    if as_json:
        click.echo(json.dumps({"decisions": compared, "different": different}, indent=2))
    else:
        for entry in different[:_SHOWN_MAX]:
            differences = "; ".join(entry["differences"])
            click.echo(f"line {entry['line']}, {entry['service_name']}: {differences}")
        if len(different) > _SHOWN_MAX:
            click.echo(f"... and {len(different) - _SHOWN_MAX} more")
        click.echo(told)
    if different:
        raise click.exceptions.Exit(Exit.FAILED)


def _judge(file: Path, lines: list[tuple[int, str]]) -> tuple[int, list[dict[str, Any]]]:
    """Make each decision of a log again; return how many, and where they differ."""
    from swayam_proxy.wiring import replay_decision

    compared, different = 0, []
    for number, line in lines:
        try:
            recorded = json.loads(line)
            found = replay_decision(recorded)
        except (ValueError, LookupError) as error:
            todo = "is it a log that process.decision_log wrote? Cut off a last half line, if there is one"
            raise CommandFailed(f"{file}, line {number}: {error}", todo, Exit.USAGE) from None
        compared += 1
        if found:
            name = recorded.get("service_name")
            different.append({"line": number, "service_name": name, "differences": found})
    return compared, different


def _play(file: Path, lines: list[tuple[int, str]]) -> tuple[int, list[dict[str, Any]], int]:
    """Play a recording; return the number of decisions, what differs, and the number of calls."""
    from swayam_proxy.wiring import replay_recording

    try:
        played = replay_recording(json.loads(line) for _, line in lines)
    except ValueError as error:
        todo = "is it what process.recording wrote, with this version? Cut off a last half line"
        raise CommandFailed(f"{file}: {error}", todo, Exit.USAGE) from None
    different = [
        {"line": number, "service_name": found.service_name, "differences": [found.what]}
        for number, found in played.differences
    ]
    return played.decisions_count, different, played.calls_count


def _lines(file: Path) -> list[tuple[int, str]]:
    """Return the lines that hold something, with their numbers."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise CommandFailed(
            f"cannot read {file}: {reason}", "name a decision log (process.decision_log)", Exit.USAGE
        ) from None
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
