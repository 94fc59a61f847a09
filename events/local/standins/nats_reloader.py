"""Stands in for the image of the configuration reloader: a changed file, and nats-server is told to read it again.

A program of its own, standard library alone: `nats_reloader.py -pid FILE -config FILE [-config FILE …]`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

_LOOK = 2.0
"""Seconds between two looks; volumes of ConfigMaps and Secrets follow within a minute anyway."""


def arguments(given: list[str]) -> tuple[Path, list[Path]]:
    """The file with the server's pid, and the files of its configuration."""
    pid, configs = "/var/run/nats/nats.pid", []
    rest = iter(given)
    for name in rest:
        match name.lstrip("-").partition("="):
            case ("pid" | "P", _, value):
                pid = value or next(rest, pid)
            case ("config" | "c", _, value):
                configs.append(value or next(rest, ""))
    return Path(pid), [Path(one) for one in configs if one]


def told(configs: list[Path], pid: Path) -> str:
    """What the files say, and all that lies beside them: the configuration includes it. Empty while one is away."""
    summary = hashlib.sha256()
    with contextlib.suppress(OSError):
        if "KERYX_ROOT" in os.environ:
            configs = _copied(configs, pid)
        for folder in dict.fromkeys(one.parent for one in configs):
            for file in sorted(one for one in folder.iterdir() if one.is_file()):
                summary.update(file.name.encode() + b"\0" + file.read_bytes())
        return summary.hexdigest()
    return ""


def _copied(configs: list[Path], pid: Path) -> list[Path]:
    """Where nothing can be mounted, the server reads a copy; see `nats`."""
    ours = str(Path(__file__).parents[3])
    if ours not in sys.path:
        sys.path.insert(0, ours)
    from events.local.standins import nats

    return [nats.copied_again(one, pid, os.environ) for one in configs]


def main() -> None:
    """Until somebody ends it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    pid, configs = arguments(sys.argv[1:])
    known = told(configs, pid)
    print("watching", *configs, flush=True)  # noqa: T201  # its log
    while True:
        time.sleep(_LOOK)
        now = told(configs, pid)
        if now in ("", known):
            continue
        try:
            os.kill(int(pid.read_text()), signal.SIGHUP)
        except (OSError, ValueError) as error:
            print("not told yet:", error, flush=True)  # noqa: T201  # its log
            continue
        known = now
        print("told nats-server to read its configuration again", flush=True)  # noqa: T201  # its log


if __name__ == "__main__":
    main()
