"""Options that several commands share, and the configuration that they lead to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from swayam_proxy.cli.failure import CommandFailed, Exit

if TYPE_CHECKING:
    from swayam_proxy.config.load import Loaded

CONFIG_FILE_DEFAULT: Final = "swayam.toml"
CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

Command = Callable[..., Any]


def config_options(command: Command) -> Command:
    """Add --config and --set."""
    command = click.option(
        "--set",
        "assignments",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one key, such as listen.port=8081; beats the environment and the file. Repeatable.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path),
        default=CONFIG_FILE_DEFAULT,
        envvar="SWAYAM_CONFIG",
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The TOML file.",
    )(command)


def admin_options(command: Command) -> Command:
    """Add --admin, beside the options that lead to a configuration."""
    command = click.option(
        "--admin",
        "admin_addresses",
        multiple=True,
        metavar="HOST:PORT",
        help="Admin address of a running proxy, instead of the one in the file. Repeatable.",
    )(command)
    return config_options(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def examples(text: str) -> str:
    r"""Return an epilog of examples; \b keeps click from wrapping the lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line.strip()}" for line in text.strip().splitlines())


def load_config(
    config_path: Path, assignments: tuple[str, ...], *, check_files: bool = True, quiet: bool = False
) -> Loaded:
    """Read the configuration; print its warnings unless `quiet`, or all that is wrong with it, and end."""
    from swayam_proxy.config.errors import ConfigError
    from swayam_proxy.config.files import file_problems
    from swayam_proxy.config.load import load

    try:
        loaded = load(config_path, os.environ, assignments)
        problems = tuple(file_problems(loaded)) if check_files else ()
        if problems:
            raise ConfigError(problems)
    except ConfigError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(Exit.USAGE) from error
    for warning in () if quiet else loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded


def admin_addresses_of(
    config_path: Path, assignments: tuple[str, ...], given: tuple[str, ...], count: int = 1
) -> list[tuple[str, int]]:
    """Return where running proxies are asked: those given, else the configured one and those counting up."""
    from swayam_proxy.config.addresses import split_host_port
    from swayam_proxy.config.errors import RefusedValueError

    if given:
        try:
            return [split_host_port(text, 'write it as "HOST:PORT"') for text in given]
        except RefusedValueError as error:
            raise CommandFailed(f"--admin {error.what}", error.todo, Exit.USAGE) from None
    admin = load_config(config_path, assignments, check_files=False).config.admin
    if admin.port == 0:
        todo = 'name it with --admin HOST:PORT; the line {"event": "listening"} on stderr tells it'
        raise CommandFailed("admin.port is 0, so any free port was taken", todo, Exit.USAGE)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin.host, admin.host)
    return [(host, admin.port + number) for number in range(count)]
