"""Files of measured execution times: one number a line, or a column of a CSV, plain or gzip.

Knows text and units; nothing of distributions.
"""

from __future__ import annotations

import csv
import gzip
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from swayam_proxy.cli.failure import CommandFailed, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
COLUMNS = ("service_s", "execution_s", "duration", "exec", "execution", "service")
SAMPLES_MAX = 10_000_000


def read_samples(path: Path, unit: str, column: str | None = None) -> list[float]:
    """Return the execution times in seconds; ends the command with what is wrong and where.

    A first line that is no number names the columns; the one asked for is read, or a well-known one.
    """
    scale = UNITS[unit]
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            values = [scale * value for value in islice(_values(path, file, column), SAMPLES_MAX + 1)]
    except (OSError, UnicodeDecodeError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandFailed(f"{path}: cannot be read: {reason}", "name a text file", Exit.USAGE) from None
    if not values:
        raise CommandFailed(f"{path}: holds no execution time", "write one number a line", Exit.USAGE)
    if len(values) > SAMPLES_MAX:
        raise CommandFailed(f"{path}: more than {SAMPLES_MAX:,} lines", "take a part of it", Exit.USAGE)
    return values


def _values(path: Path, lines: Iterable[str], column: str | None) -> Iterator[float]:
    place: int | None = None
    for number, row in enumerate(csv.reader(lines), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if place is None:
            place = _place(path, cells, column)
            if not _is_number(cells[0]):
                continue
        try:
            value = float(cells[place])
        except (ValueError, IndexError):
            todo = "write one number a line, or name the column with --column"
            raise CommandFailed(
                f"{path}:{number}: {','.join(row)!r:.60} is no number", todo, Exit.USAGE
            ) from None
        if not (isfinite(value) and value >= 0.0):
            todo = "leave failed executions out"
            raise CommandFailed(f"{path}:{number}: {value} is no execution time", todo, Exit.USAGE)
        yield value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(path: Path, first: list[str], column: str | None) -> int:
    """Find the column to read in the first line."""
    if column is not None:
        if column in first:
            return first.index(column)
        todo = f"there are: {', '.join(first)}"
        raise CommandFailed(f"{path}: no column {column!r}", todo, Exit.USAGE)
    if _is_number(first[0]) or len(first) == 1:
        return 0
    for known in COLUMNS:
        if known in first:
            return first.index(known)
    todo = f"name one with --column: {', '.join(first)}"
    raise CommandFailed(f"{path}: which column holds the execution times?", todo, Exit.USAGE)
