"""Containers where nothing can be mounted: paths below a mount are told as what they are on this machine.

Rewritten are command, arguments, environment, working folder, what probes, hooks and `exec` run, and scripts of a
volume that an interpreter is to run. Programs of ours find the rest by `KERYX_ROOT` (`events.mounted`): a folder in
which every mount is a link at its path.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from events.local.kubelet.processes import Mount
from events.mounted import ROOT

_BEGIN = r"(?:^|(?<=[\s=:,;(<>|&\[`@])|(?<=:-)|(?<=file://)|(?<=[\s=:,;(<>|&\[{]['\"])|(?<=^['\"]))"
"""What may stand before a path: a quote that closes (`"$d"/data`) and a variable (`$d/data`) may not."""
_END = r"(?=[/\s:;,'\"`)\]}>&|<]|$)"
_REST = r"[^\s:;,'\"`)\]}>&|<]*"
_INTERPRETERS = re.compile(r"(?:sh|ash|bash|dash|zsh|ksh|node|perl|php|ruby|lua|python[\d.]*)")
_MOST_SCRIPT = 2**20


class Unmounted:
    """One container's mounts as text. `kept` are folders of the machine that are meant when they are named."""

    def __init__(self, mounts: Sequence[Mount], kept: Sequence[str], folder: Path) -> None:
        self._sources = {one.target: one.source for one in mounts if one.target != "/"}
        self._kept = tuple(f"{one.rstrip('/')}/" for one in kept)
        self._folder = folder
        names = sorted(self._sources, key=len, reverse=True)
        self._found = re.compile(f"{_BEGIN}({'|'.join(map(re.escape, names))}){_END}({_REST})", re.MULTILINE)

    def text(self, text: str) -> str:
        """With the machine's paths."""

        def real(match: re.Match[str]) -> str:
            if not match[1] or f"{match[0]}/".startswith(self._kept):
                return match[0]
            return self._sources[match[1]] + match[2]

        return self._found.sub(real, text)

    def environment(self, env: Mapping[str, str], machine: Mapping[str, str]) -> dict[str, str]:
        """Every value but those that are the machine's own; and where everything is."""
        found = {name: value if machine.get(name) == value else self.text(value) for name, value in env.items()}
        if temporary := self._sources.get("/tmp"):  # noqa: S108 - of the container
            found.setdefault("TMPDIR", temporary)
        return found | {ROOT: str(self._folder / "root")}

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Every word; a script that lies in a volume is a copy of it, with the machine's paths."""
        found = [self.text(word) for word in argv]
        return [
            self._script(word) if not index or _INTERPRETERS.fullmatch(os.path.basename(found[index - 1])) else word
            for index, word in enumerate(found)
        ]

    def _script(self, path: str) -> str:
        if not any(path == source or path.startswith(f"{source}/") for source in self._sources.values()):
            return path
        with contextlib.suppress(OSError, UnicodeDecodeError):  # what it is, the program that is to run it says
            if os.path.getsize(path) <= _MOST_SCRIPT:
                text = Path(path).read_text(encoding="utf-8")
                if (written := self.text(text)) != text:
                    return self._copy(path, written)
        return path

    def _copy(self, path: str, text: str) -> str:
        copy = self._folder / "scripts" / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8")
        copy.chmod(os.stat(path).st_mode & 0o777 | 0o200)
        return str(copy)

    def lay_out(self) -> None:
        """Make the folder of links anew. A mount within a volume is a link in it, where the volume is no object's."""
        root = self._folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for target, source in sorted(self._sources.items(), key=lambda one: one[0].count("/")):
            link = root / target.lstrip("/")
            with contextlib.suppress(OSError):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(source)
