"""Asks a running proxy's admin address; stdlib only, so that a question costs no imports.

Environment variables that name HTTP proxies are not followed: an admin address is reached directly.
"""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from swayam_proxy.cli.failure import CommandFailed, Exit

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


def get_json(address: tuple[str, int], path: str, timeout_s: float = 3.0) -> Any:
    """GET `path` as JSON.

    Raises:
        CommandFailed: nobody answers there, or not as a proxy of ours would.
    """
    host, port = address
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX)
    except (OSError, HTTPException) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
        todo = "is it running? Name its admin address with --admin HOST:PORT, or its file with --config"
        raise CommandFailed(f"no proxy answers at {where}: {reason}", todo, Exit.UNREACHABLE) from None
    finally:
        connection.close()
    if response.status != 200:
        todo = "is it the admin address of a swayam proxy?"
        raise CommandFailed(f"{where} answered {response.status} to GET {path}", todo)
    try:
        return json.loads(body)
    except ValueError:
        todo = "is it the admin address of a swayam proxy?"
        raise CommandFailed(f"{where} did not answer JSON to GET {path}", todo) from None
