"""The files that a configuration names."""

from pathlib import Path

import pytest
import trustme

from swayam_proxy.config.files import file_problems
from tests.config.conftest import MINIMAL, Read


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem, server.pem, server.key, and other.key of another certificate."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    server, other = authority.issue_cert("localhost"), authority.issue_cert("elsewhere")
    server.cert_chain_pems[0].write_to_path(directory / "server.pem")
    server.private_key_pem.write_to_path(directory / "server.key")
    other.private_key_pem.write_to_path(directory / "other.key")
    return directory


@pytest.fixture
def in_certificates(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the directory of the certificates, from which relative names begin."""
    monkeypatch.chdir(certificates)
    return certificates


def complaints(read: Read, text: str, directory: Path) -> str:
    """Return what is wrong with the files that `text` names, without the directories' names."""
    loaded = read(text + MINIMAL)
    whole = "\n".join(str(problem) for problem in file_problems(loaded))
    return whole.replace(f"{Path(loaded.source.file_name).parent}/", "").replace(str(directory), "HERE")


def tls(certificate: str, key: str) -> str:
    """Return a [listen] table with these two files."""
    return f'[listen]\ntls = {{ certificate = "{certificate}", private_key = "{key}" }}\n'


def test_a_fitting_pair_passes(read: Read, in_certificates: Path) -> None:
    """A chain with its own key, and an authority for backends, are right."""
    text = tls("server.pem", "server.key") + (
        '[services.s]\nbackends = ["https://b:1"]\nroutes = [{ host = "b" }]\n'
        'sla = { response_time = "1s", level = 0.9 }\ntls = { ca_file = "ca.pem" }\n'
    )
    assert complaints(read, text, in_certificates) == ""


def test_missing_files_are_all_told(read: Read, in_certificates: Path) -> None:
    """Each name that leads nowhere, and where it was looked for."""
    text = tls("a.pem", "a.key") + (
        '[services.s]\nbackends = ["https://b:1"]\nroutes = [{ host = "b" }]\n'
        'sla = { response_time = "1s", level = 0.9 }\ntls = { ca_file = "b.pem" }\n'
    )
    assert complaints(read, text, in_certificates) == (
        'swayam.toml:2: listen.tls.certificate is "a.pem", but there is no such file\n'
        "  looked for HERE/a.pem\n"
        'swayam.toml:2: listen.tls.private_key is "a.key", but there is no such file\n'
        "  looked for HERE/a.key\n"
        'swayam.toml:7: services.s.tls.ca_file is "b.pem", but there is no such file\n  looked for HERE/b.pem'
    )


def test_a_key_of_another_certificate_is_told(read: Read, in_certificates: Path) -> None:
    """The two files must belong together."""
    assert complaints(read, tls("server.pem", "other.key"), in_certificates) == (
        "swayam.toml:2: listen.tls.certificate cannot be used: key values mismatch\n"
        "  name a PEM chain and its own private key, without a password"
    )


def test_what_is_no_certificate_is_told(read: Read, in_certificates: Path) -> None:
    """A file of another kind is told at once, not at the first request."""
    (in_certificates / "text").write_text("hello")
    assert "listen.tls.certificate cannot be used" in complaints(
        read, tls("text", "server.key"), in_certificates
    )
    text = '[services.s]\nbackends = ["https://b:1"]\nroutes = [{ host = "b" }]\n'
    text += 'sla = { response_time = "1s", level = 0.9 }\ntls = { ca_file = "text" }\n'
    assert "services.s.tls.ca_file cannot be used" in complaints(read, text, in_certificates)


def test_logs_need_a_place(read: Read, in_certificates: Path) -> None:
    """A directory that is not there, and one where a file should be, are told."""
    (in_certificates / "logs").mkdir(exist_ok=True)
    text = '[process]\naccess_log = "none/a.log"\ndecision_log = "logs"\n'
    assert complaints(read, text, in_certificates) == (
        'swayam.toml:2: process.access_log is "none/a.log", but there is no directory HERE/none\n'
        "  make it, or name another file\n"
        'swayam.toml:3: process.decision_log is "logs", which is a directory\n  name a file'
    )


def test_logs_that_can_be_written_pass(read: Read, tmp_path: Path) -> None:
    """A new file in a directory that is there needs nothing more."""
    assert complaints(read, f'[process]\naccess_log = "{tmp_path}/a.log"\n', tmp_path) == ""
