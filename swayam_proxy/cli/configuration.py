"""check-config, show-config, schema: everything about the file, nothing that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swayam_proxy.cli.failure import Exit
from swayam_proxy.cli.options import CONTEXT, config_options, examples, json_option, load_config

if TYPE_CHECKING:
    from swayam_proxy.config.errors import KeyPath, Problem
    from swayam_proxy.config.load import Loaded


@click.command(
    "check-config",
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam check-config
        swayam check-config -c swayam.toml --set services.digits.sla.level=0.999
        SWAYAM_LISTEN__PORT=8081 swayam check-config --json
        """
    ),
)
@config_options
@json_option
def check_config(config_path: Path, assignments: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with the configuration.

    Reads the file, the environment (SWAYAM_LISTEN__PORT is listen.port) and --set, and looks whether the
    files that it names are there. Exit status 2 when anything is wrong.
    """
    if as_json:
        return _check_as_json(config_path, assignments)
    config = load_config(config_path, assignments).config
    backends_count = sum(len(config.backends_of(name)) for name in config.services)
    services = "1 service" if len(config.services) == 1 else f"{len(config.services)} services"
    backends = "1 backend" if backends_count == 1 else f"{backends_count} backends"
    click.echo(f"{config_path} is right: {services}, {backends}")
    return Exit.OK


def _check_as_json(config_path: Path, assignments: tuple[str, ...]) -> int:
    import os

    from swayam_proxy.config.errors import ConfigError
    from swayam_proxy.config.files import file_problems
    from swayam_proxy.config.load import load

    warnings: tuple[Problem, ...] = ()
    try:
        loaded = load(config_path, os.environ, assignments)
        warnings, problems = loaded.warnings, tuple(file_problems(loaded))
    except ConfigError as error:
        problems = error.problems
    report = {
        "ok": not problems,
        "problems": [_problem_as_dict(problem) for problem in problems],
        "warnings": [_problem_as_dict(problem) for problem in warnings],
    }
    click.echo(json.dumps(report, indent=2))
    return Exit.USAGE if problems else Exit.OK


def _problem_as_dict(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "key": problem.key, "what": problem.what, "todo": problem.todo}


@click.command(
    "show-config",
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam show-config                     # a complete file, defaults written out
        swayam show-config --origin            # who said each value
        swayam show-config --json --set peers.count=3
        """
    ),
)
@config_options
@click.option("--origin", "with_origin", is_flag=True, help="Tell where each value was written.")
@json_option
def show_config(config_path: Path, assignments: tuple[str, ...], with_origin: bool, as_json: bool) -> None:
    """Print the configuration in force.

    Every default is written out; what is printed is itself a valid file.
    """
    loaded = load_config(config_path, assignments, check_files=False)
    if not as_json:
        click.echo("\n".join(toml_lines(loaded, with_origin)))
        return
    if with_origin:
        from swayam_proxy.config.errors import key_text

        listed = {
            key_text(path): {"value": value, "origin": origin} for path, value, origin in loaded.values()
        }
        click.echo(json.dumps(listed, indent=2))
    else:
        click.echo(json.dumps(loaded.config.model_dump(mode="json"), indent=2))


def toml_lines(loaded: Loaded, with_origin: bool) -> Iterator[str]:
    """Yield the lines of a TOML file; keys without a value are left as comments."""
    yield from _table_lines((), loaded.config.model_dump(mode="json"), loaded if with_origin else None)


def _table_lines(path: KeyPath, table: Mapping[str, Any], loaded: Loaded | None) -> Iterator[str]:
    from swayam_proxy.config.errors import key_text
    from swayam_proxy.config.toml_text import toml_key, toml_value

    keys = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    if keys:
        yield f"\n[{key_text(path)}]" if path != ("listen",) else f"[{key_text(path)}]"
    for name, value in keys.items():
        line = f"# {name} is not set" if value is None else f"{toml_key(name)} = {toml_value(value)}"
        origin = None if loaded is None or value is None else loaded.source.origin_of((*path, name))
        yield line if loaded is None or value is None else f"{line.ljust(44)}  # {origin or 'default'}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _table_lines((*path, name), value, loaded)


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam schema > swayam.schema.json
        #:schema ./swayam.schema.json          # first line of the file, for editors that know TOML
        """
    ),
)
def schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    from swayam_proxy.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
