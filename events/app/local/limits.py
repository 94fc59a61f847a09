"""How many files this process may have open: containers, connections and ports take some each."""

from __future__ import annotations

import resource

from events.errors import UserError

LEAST, USUAL, MOST = 256, 1024, 65_536
_OWN, _PER_CONTAINER = 150, 8
"""About what an idle one has open, and what a container takes in addition."""


def raise_open_files() -> str:
    """Allow as many as the system lets us; what a person should know, or nothing. UserError when they are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if 0 <= soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if 0 <= soft < LEAST:
        raise UserError(f"only {soft} open files are allowed, and {LEAST} are needed", cure=f"ulimit -n {USUAL}")
    if 0 <= soft < USUAL:
        room = (soft - _OWN) // _PER_CONTAINER
        return f"only {soft} open files are allowed: enough for about {room} containers (ulimit -n {USUAL})"
    return ""
