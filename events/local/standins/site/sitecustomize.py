"""Names of services in any Python program, where /etc/hosts cannot be shown to it. Standard library alone.

Its folder is in PYTHONPATH there, so that Python itself imports it first. `KERYX_HOSTS` names the file with the names;
it is read at every question, for it changes while the program runs.
"""

from __future__ import annotations

import os
import socket
from typing import Any

VARIABLE = "KERYX_HOSTS"
_IPV6 = getattr(socket, "AF_INET6", None)


def known(path: str) -> dict[str, list[str]]:
    """Name -> addresses, of a file like /etc/hosts; empty when it cannot be read."""
    found: dict[str, list[str]] = {}
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return found
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name.lower(), []).append(address)
    return found


def addresses(name: str, path: str) -> list[str]:
    """What a name leads to."""
    return known(path).get(name.lower().removesuffix("."), [])


def _install(path: str) -> None:
    asked = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        found = addresses(name, path) if isinstance(name, str) else []
        if family:
            found = [one for one in found if (":" in one) == (family == _IPV6)]
        if not found:
            return asked(host, port, family, type, proto, flags)
        return [row for one in found for row in asked(one, port, family, type, proto, flags)]

    socket.getaddrinfo = getaddrinfo


if __name__ == "sitecustomize" and os.environ.get(VARIABLE):
    _install(os.environ[VARIABLE])
