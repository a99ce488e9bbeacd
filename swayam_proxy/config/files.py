"""The files that a configuration names: there, readable, and fitting together."""

import os
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from swayam_proxy.config.errors import KeyPath, Problem, key_text
from swayam_proxy.config.load import Loaded


def file_problems(loaded: Loaded) -> Iterator[Problem]:
    """Yield what is wrong with certificates, keys and logs; relative names begin where swayam does."""
    for key, what, todo in _findings(loaded):
        yield Problem(loaded.source.place_of(key), key_text(key), what, todo)


def _findings(loaded: Loaded) -> Iterator[tuple[KeyPath, str, str]]:
    config = loaded.config
    tls = config.listen.tls
    if tls is not None:
        certificate: KeyPath = ("listen", "tls", "certificate")
        unreadable = [
            *_unreadable(certificate, tls.certificate),
            *_unreadable(("listen", "tls", "private_key"), tls.private_key),
        ]
        yield from unreadable
        if not unreadable:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            todo = "name a PEM chain and its own private key, without a password"
            yield from _pem(
                certificate, lambda: context.load_cert_chain(tls.certificate, tls.private_key, ""), todo
            )
    for name, service in config.services.items():
        if service.tls is None or service.tls.ca_file is None:
            continue
        key: KeyPath = ("services", name, "tls", "ca_file")
        ca_file = service.tls.ca_file
        missing = [*_unreadable(key, ca_file)]
        yield from missing or _pem(
            key, partial(ssl.create_default_context, cafile=ca_file), "name a PEM file"
        )
    for log in ("access_log", "decision_log", "recording"):
        path = getattr(config.process, log)
        if path not in ("-", "off"):
            yield from _unwritable(("process", log), Path(path))


def _unreadable(key: KeyPath, name: str) -> Iterator[tuple[KeyPath, str, str]]:
    path = Path(name)
    if not path.is_file():
        yield key, f'is "{name}", but there is no such file', f"looked for {path.absolute()}"
    elif not os.access(path, os.R_OK):
        yield key, f'is "{name}", which cannot be read', "let the user that runs swayam read it"


def _pem(key: KeyPath, read: Callable[[], object], todo: str) -> Iterator[tuple[KeyPath, str, str]]:
    try:
        read()
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        yield key, f"cannot be used: {str(reason).replace('_', ' ').lower()}", todo


def _unwritable(key: KeyPath, path: Path) -> Iterator[tuple[KeyPath, str, str]]:
    directory = path.absolute().parent
    if path.is_dir():
        yield key, f'is "{path}", which is a directory', "name a file"
    elif not directory.is_dir():
        yield key, f'is "{path}", but there is no directory {directory}', "make it, or name another file"
    elif not os.access(path if path.exists() else directory, os.W_OK):
        yield key, f'is "{path}", which cannot be written', "let the user that runs swayam write it"
