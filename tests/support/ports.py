"""Ports for the servers of tests: below those that the kernel hands out, and another range for each parallel worker.

A port that was asked of the kernel and let go again may be somebody else's connection a moment later.
"""

from __future__ import annotations

import itertools
import os
import random
import socket

_FIRST, _LAST, _WORKERS = 12_000, 32_000, 8


def _candidates() -> itertools.cycle[int]:
    size = (_LAST - _FIRST) // _WORKERS
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    ports = list(range(_FIRST + worker * size, _FIRST + (worker + 1) * size))
    begin = random.randrange(size)
    return itertools.cycle(ports[begin:] + ports[:begin])


_next = _candidates()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on, and that no other test is given."""
    for port in itertools.islice(_next, _LAST - _FIRST):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
