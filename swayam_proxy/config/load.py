"""Reads the configuration as a whole, and says everything that is wrong with it at once."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from swayam_proxy.config.checks import findings, untouched
from swayam_proxy.config.errors import ConfigError, KeyPath, Problem, key_text
from swayam_proxy.config.schema import BY_NAME, Config
from swayam_proxy.config.section import example_of, section_of
from swayam_proxy.config.sources import (
    ENVIRONMENT_PREFIX,
    Source,
    apply_overrides,
    overrides_from_assignments,
    overrides_from_environment,
    read_file,
)
from swayam_proxy.config.wording import field_at, problem_from

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
    warnings = list(_near_misses(environment))
    if config is not None:
        for finding in untouched(findings(config), wrong_keys):
            key = finding.keys[0]
            problem = Problem(source.place_of(key), key_text(key), finding.what, finding.todo)
            (warnings if finding.is_doubt else problems).append(problem)
    if problems or config is None:
        raise ConfigError(tuple(problems))
    return Loaded(config, source, tuple(warnings))


def _near_misses(environment: Mapping[str, str]) -> Iterator[Problem]:
    """Find variables that would be keys with two underscores in the right place, and are not read.

    Those of Kubernetes for a service like "swayam-admin" look alike; their ports are URLs.
    """
    for table, field in Config.model_fields.items():
        section = section_of(field.annotation)
        for key in section.model_fields if section is not None and table not in BY_NAME else ():
            variable = f"{ENVIRONMENT_PREFIX}{table}_{key}".upper()
            if "://" not in environment.get(variable, "://"):
                meant = f"{ENVIRONMENT_PREFIX}{table}__{key}".upper()
                what = "is not read: it has one underscore between levels"
                yield Problem(f"environment {variable}", "", what, f"write {meant} for {table}.{key}")


def _validate(source: Source) -> tuple[Config | None, list[Problem], set[KeyPath]]:
    """Validate the values; where some are wrong, put right ones in their place, to compare the others.

    Returns the configuration as mended (None when it cannot be), what is wrong, and the keys that are.
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
        for each in reversed(found):  # from the back, so that places in lists stay true
            place: KeyPath = tuple(part for part in each["loc"] if part != "[key]")
            wrong.add(place)
            _mend(values, place, is_missing=each["type"] == "missing")
    return None, problems, wrong


def _mend(values: Any, place: KeyPath, *, is_missing: bool) -> None:
    """Put an example where something is missing; take what is wrong out, so that its default holds."""
    depth = 0
    while depth < len(place) - 1:
        try:
            inner = values[place[depth]]
        except (KeyError, IndexError):
            return  # mended already, with what holds it
        if not isinstance(inner, dict | list):
            break  # a backend written as a string, whose address is wrong: the string itself goes
        values, depth = inner, depth + 1
    last = place[depth]
    if isinstance(values, list) and isinstance(last, int) and last < len(values):
        del values[last]
    elif isinstance(values, dict) and isinstance(last, str):
        values.pop(last, None)
        field = field_at(place)
        if is_missing and field is not None:
            values[last] = copy.deepcopy(example_of(*field))
