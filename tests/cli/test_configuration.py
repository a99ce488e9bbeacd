"""check-config, show-config, schema."""

import json
from pathlib import Path

from swayam_proxy.cli.failure import Exit
from swayam_proxy.config.schema import json_schema
from tests.cli.conftest import Run


def test_a_right_file_passes(run: Run, config_path: Path) -> None:
    """One line that says what was read; the default file is ./swayam.toml."""
    result = run("check-config")
    assert (result.exit_code, result.stderr) == (Exit.OK, "")
    assert result.stdout == "swayam.toml is right: 1 service, 3 backends\n"
    assert run("check-config", "-c", str(config_path)).exit_code == Exit.OK
    assert run("check-config", SWAYAM_CONFIG=str(config_path)).exit_code == Exit.OK


def test_a_wrong_file_fails_with_all_that_is_wrong(run: Run, config_path: Path) -> None:
    """Exit status 2, nothing on stdout, each problem in two lines on stderr, wherever it was written."""
    config_path.write_text(config_path.read_text() + "mni = 1\nmax = 9\n")
    result = run("check-config", "--set", "listen.prot=1", SWAYAM_ADMIN__PORT="many")
    assert (result.exit_code, result.stdout) == (Exit.USAGE, "")
    assert result.stderr == (
        '--set listen.prot: listen.prot is no known key\n  did you mean "port"?\n'
        'environment SWAYAM_ADMIN__PORT: admin.port is the string "many", not an integer\n'
        "  write a whole number, such as port = 9080\n"
        'swayam.toml:11: services.digits.mni is no known key\n  did you mean "min"?\n'
        "swayam.toml:12: services.digits.max is 9, but there are 3 backends\n"
        "  write at most 3, or leave it out to use the whole list\n"
    )


def test_files_that_are_not_there_are_told(run: Run, config_path: Path) -> None:
    """check-config looks for certificates; show-config, which may run elsewhere, does not."""
    sets = ["--set", 'listen.tls={certificate="a.pem", private_key="a.key"}']
    result = run("check-config", *sets)
    assert result.exit_code == Exit.USAGE
    assert result.stderr.count("there is no such file") == 2
    assert run("show-config", *sets).exit_code == Exit.OK


def test_doubts_are_told_and_pass(run: Run, config_path: Path) -> None:
    """A warning goes to stderr and changes no exit status."""
    result = run("check-config", "--set", "services.digits.execution_time=1s")
    assert result.exit_code == Exit.OK
    assert result.stderr == (
        'warning: swayam.toml:10: services.digits.sla.response_time is "500ms", shorter than '
        'execution_time = "1s"\n'
        "  no number of backends can keep this promise unless requests run faster than that\n"
    )


def test_check_config_as_json(run: Run, config_path: Path) -> None:
    """Programs get problems and warnings as lists, right or wrong."""
    assert json.loads(run("check-config", "--json").stdout) == {"ok": True, "problems": [], "warnings": []}
    result = run("check-config", "--json", "--set", "services.digits.slots=0")
    assert result.exit_code == Exit.USAGE
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert report["problems"] == [
        {
            "where": "--set services.digits.slots",
            "key": "services.digits.slots",
            "what": "is 0, but must be at least 1",
            "todo": "write another number, such as slots = 1",
        }
    ]
    missing = run("check-config", "--json", "-c", "none.toml")
    assert (missing.exit_code, json.loads(missing.stdout)["ok"]) == (Exit.USAGE, False)


def test_a_missing_file_is_told(run: Run) -> None:
    """Without a file, every command that needs one says how to name it."""
    for command in (["serve"], ["launch", "-n", "2"], ["check-config"], ["show-config"], ["status"]):
        result = run(*command)
        assert (result.exit_code, result.stdout) == (Exit.USAGE, ""), command
        assert result.stderr == (
            "swayam.toml: there is no such file\n"
            "  name a file with --config, or copy config.example.toml and edit it\n"
        )


def test_show_config_tells_origins(run: Run, config_path: Path) -> None:
    """Each line says where its value was written."""
    result = run("show-config", "--origin", "--set", "peers.count=3", SWAYAM_ADMIN__PORT="7")
    lines = {line.partition(" #")[0].strip(): line.rpartition("# ")[2] for line in result.stdout.splitlines()}
    assert lines['host = "127.0.0.1"'] == "default"
    assert lines["port = 0"] == "swayam.toml:3"
    assert lines["port = 7"] == "environment SWAYAM_ADMIN__PORT"
    assert lines["count = 3"] == "--set peers.count"
    assert lines["level = 0.99"] == "swayam.toml:10"


def test_show_config_as_json(run: Run, config_path: Path) -> None:
    """The whole configuration nested, or flat with origins."""
    nested = json.loads(run("show-config", "--json").stdout)
    assert nested["services"]["digits"]["sla"] == {"response_time": "500ms", "level": 0.99, "burst": 2.0}
    flat = json.loads(run("show-config", "--json", "--origin").stdout)
    assert flat["services.digits.sla.level"] == {"value": 0.99, "origin": "swayam.toml:10"}
    assert flat["timeouts.connect"] == {"value": "1s", "origin": "default"}


def test_schema_is_printed(run: Run) -> None:
    """The command prints the schema that the package has."""
    assert json.loads(run("schema").stdout) == json_schema()
