"""What a node is told when it is started."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from events.local.kubelet.addresses import NETWORK
from events.local.kubelet.engines import Engine
from events.local.kubelet.images import Image

PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""What containers inherit of the machine's environment. Not HOME: in it lie the credentials of whoever started us."""


@dataclass(frozen=True)
class Settings:
    """`data`: the node's own folder; `server` and `authority`: the API as pods reach it, and its CA in PEM."""

    data: Path
    server: str
    authority: bytes
    images: Sequence[Image] = ()
    name: str = "keryx"
    network: str = NETWORK
    backoff_first: float = 10.0
    backoff_most: float = 300.0
    refresh_seconds: float = 60.0
    """How often volumes that follow config maps, secrets and tokens are looked at."""
    stop_seconds: float = 10.0
    """What containers get at most when the node itself stops."""
    engine: Engine | None = None
    """Runs containers whose images `images` does not have; None: those are processes, too."""
    forward_ports: bool = True
    has_mounts: bool = True
    """Whether mounts are tried at all (KERYX_MOUNTS=none: not); see `unmounted` for how pods do without."""
    unmounted: Image | None = None
    """Programs and environment that every container gets besides where nothing can be mounted."""
    keep: Sequence[str] = ()
    """Folders that containers see where they are, whatever they mount above: programs that stand in for images."""
    environ: Mapping[str, str] = field(default_factory=lambda: {k: os.environ[k] for k in PASSED_ON if k in os.environ})
    hostname: str = field(default_factory=socket.gethostname)
