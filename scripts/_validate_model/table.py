"""The table that stays in the repository: one line per case, what brute force found and what it took.

What the model says is not kept: it is computed anew whenever the table is read.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from _validate_model.brute import SURE, Found
from _validate_model.cases import Case, all_cases

COLUMNS = (
    "policy",
    "case",
    "erlangs",
    "cv",
    "response_time",
    "level",
    "frontends",
    "least_n",
    "share",
    "error",
    "share_below",
    "error_below",
    "p99",
)


@dataclass(frozen=True, slots=True)
class Line:
    """What brute force found for one case."""

    case: Case
    least_n: int
    share: float
    error: float
    share_below: float | None
    error_below: float | None
    p99: float

    @property
    def clear(self) -> bool:
        """Tell whether chance cannot have moved the answer."""
        level = self.case.level
        below = self.share_below is None or level - self.share_below > SURE * (self.error_below or 0.0)
        return self.share - level > SURE * self.error and below


def line_of(case: Case, found: Found) -> Line:
    """Write down what was found."""
    below = found.below
    return Line(
        case,
        found.least.n,
        found.least.share,
        found.least.error,
        None if below is None else below.share,
        None if below is None else below.error,
        found.least.p99,
    )


def read(path: Path) -> list[Line]:
    """Read the table; lines of cases that are no longer drawn are left out."""
    if not path.exists():
        return []
    known = {case.name: case for case in all_cases()}
    lines = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            case = known.get(f"{row['policy']}-{int(row['case']):03d}")
            if case is None or (float(row["erlangs"]), int(row["frontends"])) != (
                case.erlangs,
                case.frontends,
            ):
                continue
            below, error_below = (float(row[k]) if row[k] else None for k in ("share_below", "error_below"))
            share, error, p99 = (float(row[k]) for k in ("share", "error", "p99"))
            lines.append(Line(case, int(row["least_n"]), share, error, below, error_below, p99))
    return lines


def write(path: Path, lines: list[Line]) -> None:
    """Write the table in the order of the cases."""
    order = {case.name: k for k, case in enumerate(all_cases())}
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for line in sorted(lines, key=lambda line: order[line.case.name]):
            case = line.case
            known = (case.policy, case.number, case.erlangs, case.cv, case.response_time, case.level)
            below = (
                ("", "")
                if line.share_below is None
                else (f"{line.share_below:.6f}", f"{line.error_below:.6f}")
            )
            found = (line.least_n, f"{line.share:.6f}", f"{line.error:.6f}", *below, f"{line.p99:.4f}")
            out.writerow((*known, case.frontends, *found))
