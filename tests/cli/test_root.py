"""The command line as a whole: help, slips, ends."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from swayam_proxy import __version__
from swayam_proxy.cli.failure import CommandFailed, Exit
from swayam_proxy.cli.group import SwayamGroup
from swayam_proxy.cli.root import swayam
from tests.cli.conftest import ROOT, Run, outcome_of

HEAVY = {"numpy", "scipy", "aiohttp", "pydantic", "rich", "uvloop", "asyncio", "prometheus_client"}


def test_help_names_every_command(run: Run) -> None:
    """--help and -h list the commands and show examples; each command has help with examples of its own."""
    whole = run("--help")
    assert whole.exit_code == Exit.OK
    assert whole.output == run("-h").output
    for name in swayam.commands:
        assert f"  {name} " in whole.output
        one = run(name, "--help")
        assert one.exit_code == Exit.OK
        assert f"Usage: swayam {name}" in one.output
        assert "Examples:\n" in one.output
        assert f"swayam {name}" in one.output.partition("Examples:")[2]


def test_help_waits_for_no_heavy_library() -> None:
    """What takes long to import is imported by the commands that need it: --help is there at once."""
    program = (
        "import sys; from swayam_proxy.cli.root import swayam; "
        "swayam.main(['--help'], prog_name='swayam', standalone_mode=False); "
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["servee"], "swayam: there is no command servee\n  did you mean serve?\n"),
        (["conquer"], "swayam: there is no command conquer\n  see swayam --help\n"),
        (["--confg", "x"], "swayam: there is no option --confg\n  see swayam --help\n"),
        (["serve", "--confg", "x"], "swayam: there is no option --confg\n  did you mean --config?\n"),
        (["launch"], "swayam: missing option '-n' / '--processes'\n  see swayam launch --help\n"),
        (
            ["launch", "-n", "many"],
            "swayam: invalid value for '-n' / '--processes': 'many' is not a valid integer range\n"
            "  see swayam launch --help\n",
        ),
        (["schema", "extra"], "swayam: got unexpected extra argument (extra)\n  see swayam schema --help\n"),
        (
            ["status", "--admin"],
            "swayam: option '--admin' requires an argument\n  see swayam --help\n",
        ),
    ],
)
def test_slips_are_told_in_two_lines(run: Run, words: list[str], message: str) -> None:
    """What, and what to do; on stderr; exit status 2."""
    result = run(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (Exit.USAGE, "", message)


def test_no_words_show_the_help(run: Run) -> None:
    """Whoever types only the name sees what there is; it is no success."""
    result = run()
    assert result.exit_code == Exit.USAGE
    assert "Usage: swayam" in result.stderr


def group_ending_in(error: BaseException) -> SwayamGroup:
    """Return a group with one command, "end", that raises."""
    group = SwayamGroup("swayam")

    @group.command("end")
    def end() -> None:
        raise error

    return group


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (CommandFailed("it broke", "mend it"), 1, "swayam: it broke\n  mend it\n"),
        (
            CommandFailed("nobody there", "start it", Exit.UNREACHABLE),
            4,
            "swayam: nobody there\n  start it\n",
        ),
        (click.ClickException("It broke."), 1, "swayam: it broke\n  see swayam --help\n"),
        (KeyboardInterrupt(), 130, "\n"),
        (click.Abort(), 130, ""),
    ],
)
def test_ends_other_than_well(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, message: str
) -> None:
    """Each way to end has its status, and no traceback."""
    assert group_ending_in(error).main(["end"], prog_name="swayam", standalone_mode=False) == status
    assert capsys.readouterr() == ("", message)


def test_our_own_mistakes_are_not_hidden() -> None:
    """An assertion of ours shows with its traceback: it is for us, not for the user."""
    with pytest.raises(AssertionError):
        group_ending_in(AssertionError("ours")).main(["end"], prog_name="swayam", standalone_mode=False)


def test_a_reader_that_leaves_makes_no_noise() -> None:
    """`swayam schema | head` ends without a word."""
    command = f'"{sys.executable}" -m swayam_proxy schema | true'
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def test_version_is_told_everywhere(run: Run) -> None:
    """--version, version and pyproject.toml agree."""
    import json
    import tomllib

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert run("--version").output == f"swayam, version {__version__}\n"
    assert run("version").output.splitlines()[0].split() == ["swayam", __version__]
    told = json.loads(run("version", "--json").output)
    assert told["swayam"] == __version__
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_package_runs_as_a_module(tmp_path: Path) -> None:
    """`python -m swayam_proxy` is the command, under its own name."""
    status, out, _ = outcome_of("--version", directory=tmp_path)
    assert (status, out) == (0, f"swayam, version {__version__}\n")
