"""The kubectl commands of this machine, by version."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

_FOLDERS = (
    "/usr/lib/google-cloud-sdk/bin",
    "/usr/local/google-cloud-sdk/bin",
    "/opt/google-cloud-sdk/bin",
    "~/google-cloud-sdk/bin",
    "/opt/homebrew/share/google-cloud-sdk/bin",
)
_NAMED = re.compile(r"kubectl[.-]v?(1\.\d+)(?:\.\d+)?")
_SECONDS = 10


@cache
def found() -> Mapping[str, Path]:
    """`1.33` -> a command, oldest first: those whose names say it, of google-cloud-sdk and on PATH, and plain ones."""
    folders = list(_folders())
    commands: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("kubectl[.-]*")):
            if match := _NAMED.fullmatch(path.name):
                commands.setdefault(match[1], path)
    for folder in folders:
        if version := _told(folder / "kubectl"):
            commands.setdefault(version, folder / "kubectl")
    return dict(sorted(commands.items(), key=lambda one: int(one[0].partition(".")[2])))


def newest() -> Path | None:
    """The newest one."""
    commands = list(found().values())
    return commands[-1] if commands else None


def named_kubectl(command: Path, folder: Path) -> Path:
    """A link to the command under its usual name, which it repeats in its messages."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "kubectl"
    if not link.exists():
        link.symlink_to(command)
    return link


def _folders() -> Iterator[Path]:
    """Where commands are, each folder once."""
    on_path = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    cloud = shutil.which("gcloud")
    beside = [Path(cloud).resolve().parent] if cloud else []
    seen = set()
    for folder in (*on_path, *beside, *(Path(folder).expanduser() for folder in _FOLDERS)):
        place = folder.resolve()
        if place not in seen and place.is_dir():
            seen.add(place)
            yield place


def _told(command: Path) -> str | None:
    """The version that a command says it is; None for one that only calls others."""
    if not os.access(command, os.X_OK):
        return None
    try:
        said = subprocess.run(
            [command, "version", "--client", "-o", "json"],
            capture_output=True,
            check=True,
            timeout=_SECONDS,
            env={"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"},
        )
        version = json.loads(said.stdout)["clientVersion"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None
    if "dispatcher" in version["gitVersion"]:
        return None
    return f"{version['major']}.{version['minor'].rstrip('+')}"
