"""What stands in for images on one machine: this very Python for ours, the host's tools or small programs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import events
from eventbus.embedded_config import find_server
from events.errors import KeryxError
from events.local import standins
from events.local.kubelet.images import Image

OURS = ("keryx", "*/keryx", "argoproj/argo-events", "quay.io/argoproj/argo-events", "*/argo-events")
_PLAIN = (sys.executable, "-I", "-S")


def folders() -> list[str]:
    """Where what stands in for images lies, this Python above all."""
    own = Path(events.__file__).resolve().parents[1]
    return list(dict.fromkeys(str(Path(one).resolve()) for one in (sys.prefix, sys.base_prefix, own)))


def unmounted() -> Image:
    """What every container gets besides where nothing can be mounted: names of services for what it runs most."""
    folder = Path(standins.__file__).parent
    here = {name: found for name in ("curl", "wget") if (found := shutil.which(name))}
    programs = {name: (*_PLAIN, str(folder / "by_name.py"), found) for name, found in here.items()}
    return Image(("*",), programs=programs, env={"PYTHONPATH": str(folder / "site")})


def table(*, is_whole: bool = True) -> list[Image]:
    """The rows, the first that fits is taken. Not whole: without those that real containers do better."""
    folder = Path(standins.__file__).parent
    keryx = (sys.executable, "-P", "-m", "events.app.cli")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = dict.fromkeys(("python", "python3", version), (sys.executable,))
    shell = {"ash": ("/bin/sh",)}
    boxed = shell if shutil.which("busybox") else shell | {"busybox": ("/bin/sh", "-c", 'exec "$@"', "busybox")}
    whale = {"cowsay": (*_PLAIN, str(folder / "cowsay.py"))}
    argosay = {"argosay": (*_PLAIN, str(folder / "argosay.py"))}
    both = {"keryx": keryx, "argo-events": keryx}
    ours = Image(OURS, ("keryx",), programs=both, env={"KERYX_LISTEN": "$(POD_IP)"})
    others = [
        Image(("busybox", "*/busybox", "alpine", "*/alpine"), command=("sh",), programs=boxed),
        Image(("bash", "*/bash"), command=("bash",), programs=shell),
        Image(("debian", "ubuntu"), command=("bash",)),
        Image(("python", "*/python"), command=("python3",), programs=python),
        Image(
            ("docker/whalesay", "*/whalesay"),
            command=("cowsay",),
            programs=whale,
            small={"cowsay": whale["cowsay"][-1]},
        ),
        Image(
            ("argoproj/argosay", "*/argosay"), ("argosay",), programs=argosay, small={"argosay": argosay["argosay"][-1]}
        ),
        Image(("curlimages/curl", "*/curlimages/curl"), ("curl",)),
    ]
    rows = [ours, *(others if is_whole else ()), _bus(folder)]
    reloader = {"nats-server-config-reloader": (*_PLAIN, str(folder / "nats_reloader.py"))}
    rows.append(Image(("*/nats-server-config-reloader",), ("nats-server-config-reloader",), programs=reloader))
    # What it is told to do is no concern of who does nothing.
    idle = dict.fromkeys(_IDLE, ("/bin/sh", "-c", "exec sleep infinity"))
    rows.append(Image(tuple(f"*/{name}" for name in _IDLE), (_IDLE[0],), programs=idle))
    return rows


def _bus(folder: Path) -> Image:
    """The nats-server of this machine; where there is none, the pods of buses say so."""
    try:
        server, _ = find_server()
    except KeryxError as error:
        return Image(_BUS, refusal=str(error))
    return Image(_BUS, ("nats-server",), programs={"nats-server": (*_PLAIN, str(folder / "nats.py"), str(server))})


_BUS = ("nats", "*/nats", "*/nats-server")
_IDLE = ("prometheus-nats-exporter",)
"""What reads numbers that this machine serves itself."""
