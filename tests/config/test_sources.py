"""The file, the environment and --set: who wins, and who is named."""

from pathlib import Path

import pytest

from swayam_proxy.config.errors import ConfigError
from swayam_proxy.config.load import load
from tests.config.conftest import MINIMAL, Complaints, Read

WITH_PORT = "[listen]\nport = 1001\n" + MINIMAL


def origin(read: Read, *key: str, **sources: object) -> tuple[object, str]:
    """Return value and origin of one key."""
    values = {path: (value, where) for path, value, where in read(WITH_PORT, **sources).values()}
    return values[key]


def test_set_beats_environment_beats_file_beats_default(read: Read, tmp_path: Path) -> None:
    """Each source wins over those before it, and is named as the origin."""
    environment = {"SWAYAM_LISTEN__PORT": "1002"}
    assert origin(read, "listen", "host") == ("127.0.0.1", "default")
    assert origin(read, "listen", "port") == (1001, f"{tmp_path}/swayam.toml:2")
    assert origin(read, "listen", "port", environment=environment) == (
        1002,
        "environment SWAYAM_LISTEN__PORT",
    )
    both = {"environment": environment, "sets": ["listen.port=1003"]}
    assert origin(read, "listen", "port", **both) == (1003, "--set listen.port")


def test_the_last_set_wins(read: Read) -> None:
    """Of two assignments to one key, the later one holds."""
    assert read(sets=["listen.port=1", "listen.port=2"]).config.listen.port == 2


@pytest.mark.parametrize(
    ("assignment", "read_back"),
    [
        ("listen.host=localhost", "localhost"),
        ('listen.host="localhost"', "localhost"),
        ("listen . host = localhost", "localhost"),
        ("timeouts.connect=1m30s", 90.0),
        ("listen.backlog=7", 7),
        ("listen.reuse_port=true", True),
        ('process.trusted_proxies=["10.0.0.0/8"]', ["10.0.0.0/8"]),
        ("services.digits.sla.burst=auto", None),
        ("services.'digits'.sla.burst=3", 3.0),
    ],
)
def test_values_are_toml_or_plain_text(read: Read, assignment: str, read_back: object) -> None:
    """Quotes may be left out where a string is wanted; keys may be quoted and spaced as in TOML."""
    value: object = read(sets=[assignment]).config
    for part in assignment.partition("=")[0].replace("'", "").replace(" ", "").split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value == read_back


def test_a_table_adds_to_the_table_of_the_file(read: Read) -> None:
    """--set with a table changes only the keys that it names."""
    config = read(WITH_PORT, sets=["listen={backlog=7}"]).config
    assert (config.listen.port, config.listen.backlog) == (1001, 7)


def test_a_list_is_replaced(read: Read) -> None:
    """Lists come as a whole."""
    config = read(sets=['services.digits.backends=["a:1"]']).config
    assert [backend.address for backend in config.services["digits"].backends] == ["a:1"]


def test_a_service_can_come_from_outside_the_file(read: Read) -> None:
    """--set can make a new service."""
    sets = [
        'services.b.backends=["b:1"]',
        'services.b.sla={response_time="1s", level=0.9}',
        "services.b.routes=[{host='b'}]",
    ]
    assert list(read(sets=sets).config.services) == ["digits", "b"]


def test_environment_finds_names_that_it_cannot_spell(read: Read) -> None:
    """Case, "-" and "." of a service's name in the file are found again under "_"."""
    text = MINIMAL.replace("services.digits", 'services."My-model.v2"')
    config = read(text, {"SWAYAM_SERVICES__MY_MODEL_V2__SLA__LEVEL": "0.5"}).config
    assert config.services["My-model.v2"].sla.level == 0.5


def test_variables_of_others_are_left_alone(read: Read) -> None:
    """Without two underscores a variable is not ours: Kubernetes makes such names for a service "swayam"."""
    others = {
        "SWAYAM_PORT": "tcp://10.0.0.1:80",
        "SWAYAM_SERVICE_HOST": "10.0.0.1",
        "SWAYAM_CONFIG": "x",
        "PATH": "/bin",
    }
    assert read(environment=others).config == read().config


def test_a_forgotten_underscore_is_told(read: Read) -> None:
    """A variable that is a key but for one underscore makes a warning; a port of Kubernetes does not."""
    environment = {
        "SWAYAM_LISTEN_PORT": "1",
        "SWAYAM_ADMIN_PORT": "tcp://10.0.0.1:80",
        "SWAYAM_PEERS_COUNT": "3",
    }
    loaded = read(environment=environment)
    assert loaded.config == read().config
    assert [str(warning) for warning in loaded.warnings] == [
        "environment SWAYAM_LISTEN_PORT: is not read: it has one underscore between levels\n"
        "  write SWAYAM_LISTEN__PORT for listen.port",
        "environment SWAYAM_PEERS_COUNT: is not read: it has one underscore between levels\n"
        "  write SWAYAM_PEERS__COUNT for peers.count",
    ]


def test_unknown_keys_from_outside_are_errors_too(complaints: Complaints) -> None:
    """A slip in a variable or in --set is told like one in the file, with its own origin."""
    text = complaints(environment={"SWAYAM_LISTEN__PROT": "1"}, sets=["listn.port=1"])
    assert text == (
        'environment SWAYAM_LISTEN__PROT: listen.prot is no known key\n  did you mean "port"?\n'
        '--set listn.port: listn is no known key\n  did you mean "listen"?'
    )


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("port", "--set port: has no key and value\n  write --set KEY=VALUE, such as --set listen.port=8081"),
        ("=1", "--set =1: has no key and value\n  write --set KEY=VALUE, such as --set listen.port=8081"),
        (
            "a b=1",
            "--set a b=1: has no key and value\n  write --set KEY=VALUE, such as --set listen.port=8081",
        ),
        (
            "services.digits.backends.0=a:1",
            "--set services.digits.backends.0: services.digits.backends.0 leads into "
            "services.digits.backends, which is a list\n  set services.digits.backends as a whole",
        ),
    ],
)
def test_assignments_that_fit_nowhere(complaints: Complaints, assignment: str, message: str) -> None:
    """What is no assignment, and what leads into a list, is told."""
    assert complaints(sets=[assignment]) == message


def complaint_about_file(path: Path) -> str:
    """Return the message about an unreadable file, without its directory."""
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """The name is told, and how to name another."""
    assert complaint_about_file(tmp_path / "swayam.toml") == (
        "swayam.toml: there is no such file\n"
        "  name a file with --config, or copy config.example.toml and edit it"
    )


def test_a_directory_is_told(tmp_path: Path) -> None:
    """A directory is no file."""
    (tmp_path / "etc").mkdir()
    assert complaint_about_file(tmp_path / "etc") == "etc: is a directory\n  name the file itself"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            b"[listen]\nport 8080\n",
            "swayam.toml:2:6: is not TOML: expected '=' after a key in a key/value pair\n"
            "  mend this line: port 8080 (strings need quotes, tables are written [name])",
        ),
        (
            b"[listen]\nhost = localhost\n",
            "swayam.toml:2:8: is not TOML: invalid value\n"
            "  mend this line: host = localhost (strings need quotes, tables are written [name])",
        ),
        (
            b"[listen]\nport = 1\nport = 2\n",
            "swayam.toml:3:9: is not TOML: cannot overwrite a value\n"
            "  mend this line: port = 2 (strings need quotes, tables are written [name])",
        ),
        (
            b"a = [1,\n",
            "swayam.toml:2: is not TOML: invalid value\n"
            "  mend what stands before this line (strings need quotes, tables are written [name])",
        ),
        (b"a = 1\nb = '\xff'\n", "swayam.toml:2: is not UTF-8\n  save it as UTF-8; TOML knows no other"),
    ],
)
def test_what_is_not_toml_is_told_with_its_place(tmp_path: Path, raw: bytes, message: str) -> None:
    """Line and column, what is wrong, and the line itself."""
    (tmp_path / "swayam.toml").write_bytes(raw)
    assert complaint_about_file(tmp_path / "swayam.toml") == message


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """Somebody named a disk image: it is not read into memory."""
    with (tmp_path / "image").open("wb") as file:
        file.truncate(1 << 34)
    assert complaint_about_file(tmp_path / "image") == "image: is larger than 16 MiB\n  is it the right file?"
