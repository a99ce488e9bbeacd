"""How long requests take: seeded draws from a log-normal or from measured samples.

Knows no clock. One source per backend, each with its own stream of chance, so that the draws of a
backend do not depend on how many others run beside it.
"""

import csv
import gzip
import math
import random
from pathlib import Path

from fake_backend.quantities import parse_duration_s
from fake_backend.settings import ExecutionSettings

_SAMPLES_COUNT_MAX = 5_000_000


class SamplesError(ValueError):
    """A file of samples that cannot be used; the text says where and why."""


class ExecutionTimes:
    """An endless stream of execution times in seconds."""

    def __init__(self, settings: ExecutionSettings, *, seed: int, backend_index: int) -> None:
        self._random = random.Random(f"execution/{seed}/{backend_index}")
        self._samples = settings.samples
        self._scale = settings.scale
        self._mu, self._sigma = log_normal_parameters(settings.mean_s, settings.cv)

    def draw_s(self) -> float:
        """Return the next execution time."""
        if self._samples:
            return self._scale * self._samples[self._random.randrange(len(self._samples))]
        if self._sigma == 0.0:
            return self._scale * math.exp(self._mu)
        return self._scale * self._random.lognormvariate(self._mu, self._sigma)


def log_normal_parameters(mean_s: float, cv: float) -> tuple[float, float]:
    """Return mu and sigma of log(t) so that t has this mean and coefficient of variation.

    From E[t] = exp(mu + sigma^2 / 2) and cv^2 = exp(sigma^2) - 1.
    """
    variance = math.log1p(cv * cv)
    return math.log(mean_s) - variance / 2, math.sqrt(variance)


def read_samples(path: Path) -> tuple[float, ...]:
    """Return the execution times (seconds) of a file, plain or gzip.

    Either one time a line ("0.05" in seconds, or "50ms"), or CSV with a column `service_s`.
    Raises SamplesError where a line cannot be read, is negative, or none is there.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="") as lines:
            samples = _parse_samples(list(csv.reader(lines)), path)
    except (OSError, UnicodeDecodeError, EOFError, csv.Error) as error:
        raise SamplesError(f"{path}: cannot be read: {error}") from error
    if not samples:
        raise SamplesError(f"{path}: no execution time in it")
    return samples


def _parse_samples(rows: list[list[str]], path: Path) -> tuple[float, ...]:
    rows_numbered = [(number, row) for number, row in enumerate(rows, start=1) if row and row[0].strip()]
    column = 0
    if rows_numbered and "service_s" in rows_numbered[0][1]:
        column = rows_numbered[0][1].index("service_s")
        rows_numbered = rows_numbered[1:]
    if len(rows_numbered) > _SAMPLES_COUNT_MAX:
        raise SamplesError(f"{path}: more than {_SAMPLES_COUNT_MAX} samples")
    samples = []
    for number, row in rows_numbered:
        try:
            samples.append(parse_duration_s(row[column], unit_needed=False))
        except (ValueError, IndexError) as error:
            raise SamplesError(f"{path}, line {number}: no execution time ({error})") from error
    return tuple(samples)
