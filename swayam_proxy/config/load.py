"""Reads the configuration as a whole, and says everything that is wrong with it at once."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from swayam_proxy.config.checks import findings, untouched
from swayam_proxy.config.errors import ConfigError, KeyPath, Problem, key_text
from swayam_proxy.config.schema import Config
from swayam_proxy.config.sources import (
    Source,
    apply_overrides,
    overrides_from_assignments,
    overrides_from_environment,
    read_file,
)
from swayam_proxy.config.wording import problem_from

ROUNDS_MAX: Final = 10
"""Taking a wrong value out can leave a list too short or a table without what it needs, and so on."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that may be used, and where it comes from."""

    config: Config
    source: Source
    warnings: tuple[Problem, ...]

    def values(self) -> Iterator[tuple[KeyPath, Any, str]]:
        """Yield every key with its value, as one would write it, and its origin ("default" for most)."""
        yield from self._values((), self.config.model_dump(mode="json"))

    def _values(self, path: KeyPath, table: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any, str]]:
        for name, value in table.items():
            here: KeyPath = (*path, name)
            if isinstance(value, Mapping) and value:
                yield from self._values(here, value)
            else:
                yield here, value, self.source.origin_of(here) or "default"


def load(path: Path, environment: Mapping[str, str], assignments: Sequence[str] = ()) -> Loaded:
    """Read the file at `path`, lay the environment and the --set `assignments` over it, and check all of it.

    Raises:
        ConfigError: with everything that is wrong.
    """
    source = read_file(path)
    overrides = overrides_from_environment(environment, source.values)
    overrides += overrides_from_assignments(assignments)
    problems = apply_overrides(source, overrides)
    config, wrong_values, wrong_keys = _validate(source)
    problems += wrong_values
    warnings: list[Problem] = []
    if config is not None:
        for finding in untouched(findings(config), wrong_keys):
            key = finding.keys[0]
            problem = Problem(source.place_of(key), key_text(key), finding.what, finding.todo)
            (warnings if finding.is_doubt else problems).append(problem)
    if problems or config is None:
        raise ConfigError(tuple(problems))
    return Loaded(config, source, tuple(warnings))


def _validate(source: Source) -> tuple[Config | None, list[Problem], set[KeyPath]]:
    """Validate the values; where some are wrong, take them out and go on, to compare the others.

    Returns the configuration without its wrong values (None when nothing could be saved), what is wrong,
    and the keys that were taken out.
    """
    values = copy.deepcopy(source.values)
    problems: list[Problem] = []
    wrong: set[KeyPath] = set()
    for round_index in range(ROUNDS_MAX):
        try:
            return Config.model_validate(values), problems, wrong
        except ValidationError as error:
            found = error.errors(include_url=False)
        if round_index == 0:
            problems = [problem_from(each, source) for each in found]
        places = {_place_to_clear(tuple(each["loc"]), each["type"]) for each in found}
        wrong |= places
        for place in sorted(places, key=lambda place: [str(part).rjust(12) for part in place], reverse=True):
            _clear(values, place)
    return None, problems, wrong


def _place_to_clear(loc: KeyPath, kind: str) -> KeyPath:
    """Return what to take out: the table around what is missing, else the wrong value itself."""
    return loc[:-1] if kind == "missing" or loc[-1:] == ("[key]",) else loc


def _clear(values: Any, place: KeyPath) -> None:
    """Delete what stands at `place`, if it stands there still."""
    for part in place[:-1]:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(values, dict):
        values.pop(place[-1], None)
    elif isinstance(values, list) and isinstance(place[-1], int) and place[-1] < len(values):
        del values[place[-1]]
