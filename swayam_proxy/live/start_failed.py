"""The one error that ends a process at its start for a reason that its user can mend."""

import errno
import os

from swayam_proxy.core.errors import SwayamError


class StartFailedError(SwayamError):
    """A proxy could not be started: what went wrong, what to do about it."""

    def __init__(self, what: str, todo: str) -> None:
        """Keep both lines."""
        super().__init__(what)
        self.what = what
        self.todo = todo


def cannot_listen(error: OSError, host: str, port: int, key: str) -> StartFailedError:
    """Say why `host`:`port` cannot be listened on, and how to change it under the configuration's `key`."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            todo = f"end the program that listens there, or choose another {key}.port (0 takes a free one)"
            return StartFailedError(f"{where} is in use", todo)
        case errno.EACCES:
            todo = f"choose a {key}.port above 1023, or give the process the right to bind low ports"
            return StartFailedError(f"not allowed to listen on {where}", todo)
        case errno.EADDRNOTAVAIL:
            todo = f"choose a {key}.host that this machine has, such as 127.0.0.1 or 0.0.0.0"
            return StartFailedError(f"{host} is no address of this machine", todo)
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return StartFailedError(f"cannot listen on {where}: {reason}", f"check {key}.host and {key}.port")
