"""What a `keryx up` was told to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from events.local.kubelet.engines import Engine
from events.local.kubelet.images import Image


@dataclass(frozen=True)
class Options:
    """`port` 0: that of the last time, else a free one."""

    data: Path
    port: int = 0
    backoff: float = 10.0
    forward_ports: bool = True
    refresh: float = 60.0
    images: Path | None = None
    """The user's own table; None: `images.yaml` in the data directory, if it is there."""
    rows: Sequence[Image] = ()
    """What is in it."""
    runtime: str = ""
    """docker or podman: real containers for images that nothing stands in for."""
    engine: Engine | None = None
    """It, once it has answered."""
    has_mounts: bool = True
    """False: as on a machine where nothing can be mounted."""
