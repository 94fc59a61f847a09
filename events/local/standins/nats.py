"""`nats.py SERVER ARGUMENTS…`: a nats-server that listens on its pod's address alone, so that many can run."""

# ruff: noqa: S606  # becoming the server is its purpose
from __future__ import annotations

import os
import re
import sys
from itertools import pairwise
from pathlib import Path

_CLUSTER = re.compile(r"^\s*\"?cluster\"?\s*[:={]", re.MULTILINE)
_CLUSTER_PORT = 6222


def arguments(given: list[str], address: str, config: str) -> list[str]:
    """What is given, and the addresses. `config`: the text of its file."""
    own = [] if {"-a", "--addr", "--net"} & set(given) else ["--addr", address]
    if _CLUSTER.search(config) and "--cluster_listen" not in given:
        own += ["--cluster_listen", f"nats://{address}:{_CLUSTER_PORT}"]
    return [*given, *own]


def main() -> None:
    """Entry point."""
    server, given, address = sys.argv[1], sys.argv[2:], os.environ.get("POD_IP", "127.0.0.1")
    config = ""
    for option, value in pairwise(given):
        if option in ("-c", "--config") and os.path.exists(value):
            config = Path(value).read_text(encoding="utf-8", errors="replace")
    os.execv(server, [server, *arguments(given, address, config)])


if __name__ == "__main__":
    main()
