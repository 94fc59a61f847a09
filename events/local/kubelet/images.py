"""What stands in for images: a table, handed in by whoever starts the node. Pure but for looking for programs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from events.errors import KeryxError

Object = dict[str, Any]

_CURE = (
    "give the container a command that this machine has, or name the image in images.yaml (`keryx up --images FILE`)"
)
_HUB = ("docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/", "library/")


class PullError(KeryxError):
    """Nothing here stands in for the image."""


@dataclass(frozen=True)
class Image:
    """`names` are patterns, with a tag only where it counts; `programs` are commands of the image: name -> argv."""

    names: Sequence[str]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    """`$(NAME)` sees the environment that the container has anyway, such as `$(POD_IP)`."""
    refusal: str = ""
    """Why it cannot run on this machine."""
    small: Mapping[str, str] = field(default_factory=dict)
    """Those programs that are a file of Python with the standard library alone, which may run without a new Python."""


def name_of(reference: str) -> str:
    """`docker.io/library/busybox:1.36@sha256:…` -> `busybox`."""
    head, slash, last = tagged(reference).rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def tagged(reference: str) -> str:
    """`docker.io/library/busybox:1.36@sha256:…` -> `busybox:1.36`."""
    name = reference.partition("@")[0]
    return next((name.removeprefix(hub) for hub in _HUB if name.startswith(hub)), name)


def _fits(reference: str, pattern: str) -> bool:
    has_tag = ":" in pattern.rpartition("/")[2]
    return fnmatchcase(tagged(reference) if has_tag else name_of(reference), pattern)


@dataclass(frozen=True)
class Chosen:
    """What a container runs: `argv` before its variables are expanded, where `PATH` begins, and more environment."""

    argv: Sequence[str]
    folder: str
    env: Mapping[str, str]
    is_known: bool
    is_default: bool = False
    """The container names no command: the program is the image's own."""


class Images:
    """The table, with a folder of small scripts for the programs of each row. `always` is added to every image."""

    def __init__(self, rows: Sequence[Image], folder: Path, always: Image | None = None) -> None:
        self._rows, self._folder, self._always = rows, folder, always
        self.inner: dict[str, str] = {}
        """Files of small programs, by the path under which containers find them."""
        for number, row in enumerate(rows):
            _write_programs(folder / str(number), row.programs)
            self.inner |= {str(folder / str(number) / name): file for name, file in row.small.items()}
        if always is not None:
            _write_programs(folder / "always", always.programs)

    def choose(self, container: Object) -> Chosen:
        """Raises PullError when nothing stands in for its image."""
        chosen = self._chosen(container)
        if self._always is None:
            return chosen
        path = ":".join(one for one in (chosen.folder, str(self._folder / "always")) if one)
        return replace(chosen, folder=path, env={**self._always.env, **chosen.env})

    def has(self, image: str) -> bool:
        """Whether a row stands in for it."""
        return any(_fits(image, pattern) for row in self._rows for pattern in row.names)

    def _chosen(self, container: Object) -> Chosen:
        image = container.get("image") or ""
        command, arguments = list(container.get("command") or ()), list(container.get("args") or ())
        for number, row in enumerate(self._rows):
            if any(_fits(image, pattern) for pattern in row.names):
                return self._of_row(row, self._folder / str(number), command, arguments, image)
        if not command:
            raise PullError(
                f'nothing on this machine stands in for the image "{image}", and the container names no command to '
                f"run: {_CURE}"
            )
        return Chosen([*command, *arguments], "", {}, is_known=False)

    def _of_row(self, row: Image, folder: Path, command: list[str], arguments: list[str], image: str) -> Chosen:
        if row.refusal:
            raise PullError(f'what stands in for the image "{image}" cannot run here: {row.refusal}')
        given = [*command, *arguments]
        argv = given if command else [*row.entrypoint, *(arguments or row.command)]
        if not argv:
            raise PullError(f'what stands in for the image "{image}" has no command of its own; name one')
        path = str(folder) if row.programs else ""
        return Chosen([_own(argv[0], folder), *argv[1:]], path, row.env, is_known=True, is_default=not command)


def _own(program: str, folder: Path) -> str:
    """A program of the image that is named by a path which this machine does not have."""
    found = folder / os.path.basename(program)
    return str(found) if program.startswith("/") and not os.path.exists(program) and found.exists() else program


def check_program(chosen: Chosen, image: str, search: str) -> None:
    """What an image runs by itself, or an image that nobody knows, must be on this machine. Raises PullError."""
    program = chosen.argv[0]
    if (chosen.is_known and not chosen.is_default) or "$(" in program:
        return
    if os.path.exists(program) if "/" in program else shutil.which(program, path=search):
        return
    if chosen.is_known:
        raise PullError(f'"{program}" of this machine stands in for the image "{image}", and is not here: install it')
    text = f'nothing on this machine stands in for the image "{image}", and "{program}" is not here either'
    raise PullError(f"{text}: install it, or {_CURE}")


def _write_programs(folder: Path, programs: Mapping[str, Sequence[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in programs:
            old.unlink()
    for name, argv in programs.items():
        words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
        path, text = folder / name, f'#!/bin/sh\nexec {words} "$@"\n'
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        path.chmod(0o755)
