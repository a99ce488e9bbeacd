"""version: what runs here, for bug reports."""

import json
import platform

import click

from swayam_proxy import __version__
from swayam_proxy.cli.options import CONTEXT, examples, json_option

LIBRARIES = ("uvloop", "httptools", "aiohttp", "numpy", "scipy", "pydantic")


@click.command(context_settings=CONTEXT, epilog=examples("swayam version\nswayam version --json"))
@json_option
def version(as_json: bool) -> None:
    """Print the version of swayam and of what it stands on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    found = {"swayam": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for library in LIBRARIES:
        try:
            found[library] = version_of(library)
        except PackageNotFoundError:
            found[library] = "missing"
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("\n".join(f"{name.ljust(10)} {text}" for name, text in found.items()))
