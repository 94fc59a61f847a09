"""Where paths of a container are on this machine, when nothing can be mounted there (`KERYX_ROOT`). Standard library.

The local node names a folder in which every mount of the container is a link at its path. Elsewhere, and on a cluster,
the variable is not set and every path is what it says.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

ROOT = "KERYX_ROOT"


def where(path: str, environ: Mapping[str, str] = os.environ) -> str:
    """The path itself, unless it lies in a mount, or is a folder that is only there because mounts lie in it."""
    root = environ.get(ROOT)
    if not root or not path.startswith("/"):
        return path
    at = root
    for step in os.path.normpath(path).split("/"):
        at = os.path.join(at, step) if step else at
        if os.path.islink(at):
            return root + os.path.normpath(path)
        if not os.path.isdir(at):
            return path
    return path if os.path.lexists(path) else root + os.path.normpath(path)
