"""The command `swayam` and the list of its commands."""

import click

from swayam_proxy import __version__
from swayam_proxy.cli.backends_command import backends
from swayam_proxy.cli.configuration import check_config, schema, show_config
from swayam_proxy.cli.explain import explain
from swayam_proxy.cli.fit import fit
from swayam_proxy.cli.group import SwayamGroup
from swayam_proxy.cli.machine import machine
from swayam_proxy.cli.options import CONTEXT, examples
from swayam_proxy.cli.peers import peers
from swayam_proxy.cli.plan import plan
from swayam_proxy.cli.replay import replay
from swayam_proxy.cli.serving import launch, serve
from swayam_proxy.cli.sidecar import sidecar
from swayam_proxy.cli.simulate import simulate
from swayam_proxy.cli.status import status
from swayam_proxy.cli.version import version


@click.group(
    cls=SwayamGroup,
    context_settings=CONTEXT,
    epilog=examples(
        """
        swayam check-config -c swayam.toml
        swayam launch -n 3 -c swayam.toml
        swayam status -n 3 -c swayam.toml
        eval "$(_SWAYAM_COMPLETE=bash_source swayam)"   # completion; also zsh_source, fish_source
        """
    ),
)
@click.version_option(__version__, prog_name="swayam")
def swayam() -> None:
    """Put an SLA-driven load balancer and autoscaler in front of model servers.

    Exit status: 0 ok, 1 failed, 2 wrong usage or configuration, 3 promise missed, 4 no proxy answers.
    """


for command in (
    serve,
    launch,
    sidecar,
    machine,
    backends,
    check_config,
    show_config,
    schema,
    status,
    simulate,
    plan,
    fit,
    explain,
    peers,
    replay,
    version,
):
    swayam.add_command(command)
