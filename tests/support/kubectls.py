"""The kubectl commands of this machine, by version."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

_FOLDERS = ("/usr/lib/google-cloud-sdk/bin", "/usr/local/google-cloud-sdk/bin", "~/google-cloud-sdk/bin")
_VERSION = re.compile(r"kubectl\.(1\.\d+)")


@cache
def found() -> Mapping[str, Path]:
    """`1.33` -> a command, oldest first: those of a google-cloud-sdk, and `kubectl.1.N` on PATH."""
    folders = [*map(Path, _FOLDERS), *map(Path, os.environ.get("PATH", "").split(os.pathsep))]
    commands: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.expanduser().glob("kubectl.1.*")):
            if match := _VERSION.fullmatch(path.name):
                commands.setdefault(match[1], path)
    return dict(sorted(commands.items(), key=lambda one: int(one[0].partition(".")[2])))


def newest() -> Path | None:
    """The newest one of a known version, else the `kubectl` on PATH."""
    commands = list(found().values())
    if commands:
        return commands[-1]
    plain = shutil.which("kubectl")
    return Path(plain) if plain else None


def named_kubectl(command: Path, folder: Path) -> Path:
    """A link to the command under its usual name, which it repeats in its messages."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "kubectl"
    if not link.exists():
        link.symlink_to(command)
    return link
